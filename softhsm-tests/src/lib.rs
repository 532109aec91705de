//! End-to-end proof against real PKCS#11 modules and real clients.
