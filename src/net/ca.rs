//! The cluster's certificate authority: node identities and locally issued listener certificates.
