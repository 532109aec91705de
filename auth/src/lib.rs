//! Who is calling: tokens, leases, policies and login methods.
