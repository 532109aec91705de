//! The appliance as a library: doors, pipeline, mounts, sys, audit, configuration and jobs.
