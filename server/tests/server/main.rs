//! A whole appliance in process: memory store, software token, a clock of its own, and a real HTTP client.

mod appliance;
mod audit;
mod canary;
mod doors;
mod mounts;
mod routes;
