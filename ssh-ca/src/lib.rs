//! The SSH certificate engine.
