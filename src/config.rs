//! Flags, environment and file become one checked configuration.
