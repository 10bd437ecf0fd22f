//! Real processes, hosts and containers: the release binary as its users run it.
