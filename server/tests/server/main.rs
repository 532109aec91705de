//! A whole appliance in process: memory store, software token, a clock of its own, and a real HTTP client.

#[cfg(test)]
mod acme;
#[cfg(test)]
mod appliance;
#[cfg(test)]
mod audit;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod canary;
#[cfg(test)]
mod doors;
#[cfg(test)]
mod external_keys;
#[cfg(test)]
mod hostile_http;
#[cfg(test)]
mod mounts;
#[cfg(test)]
mod revocation;
#[cfg(test)]
mod routes;
#[cfg(test)]
mod standing;
#[cfg(test)]
mod sys_ceremonies;
#[cfg(test)]
mod sys_endpoints;
#[cfg(test)]
mod tls;
