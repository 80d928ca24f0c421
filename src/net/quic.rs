//! QUIC endpoints between nodes: mutual TLS from the cluster CA, roles read from certificates.
