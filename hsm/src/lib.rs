//! Keys that never leave the token: PKCS#11 and software providers behind one asynchronous face.
