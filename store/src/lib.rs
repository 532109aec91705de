//! Sealed storage and the certificate inventory: views, changes, barrier, seal, backends.
