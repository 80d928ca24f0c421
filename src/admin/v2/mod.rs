//! The operations of HTTP and WebSocket APIs (v2), by resource.
