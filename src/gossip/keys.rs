//! What nodes say about themselves: the one table of key names.
//!
//! A closed list keeps a node's table small (chitchat sends whole tables to newcomers), and gives
//! `status` and the metrics one place to look names up.

/// Value of [`Key::State`] of a node that is about to stop.
pub(super) const LEAVING: &str = "leaving";

macro_rules! keys {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Something a node says about itself.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Key {
            $($(#[$doc])* $name,)*
        }

        impl Key {
            pub const ALL: &[Key] = &[$(Key::$name,)*];

            /// As it travels, and as `status` shows it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Key::$name => $text,)*
                }
            }
        }
    };
}

keys! {
    /// `edge` or `region`, from the certificate.
    Role = "role",
    /// Point of presence, such as `FRA56-P4`.
    Pop = "pop",
    /// Where that is, for people.
    Location = "location",
    /// Program version.
    Version = "version",
    /// Absent while the node serves; `leaving` when it is about to stop.
    State = "state",
    /// Milliseconds since the Unix epoch.
    StartedAt = "started_at",
    /// Epoch of the configuration that answers calls.
    ConfigEpoch = "config.epoch",
    /// Region: the newest purge.
    PurgeHead = "purge.head",
    /// The last purge carried out.
    PurgeApplied = "purge.applied",
    CacheMemoryBytes = "cache.memory.bytes",
    CacheMemoryEntries = "cache.memory.entries",
    CacheDiskBytes = "cache.disk.bytes",
    CacheDiskEntries = "cache.disk.entries",
    /// Listener addresses, separated by commas.
    ListenersPublic = "listeners.public",
    /// Region: where PRIVATE APIs are served.
    ListenersPrivate = "listeners.private",
    ListenersAdmin = "listeners.admin",
    ListenersTunnel = "listeners.tunnel",
    /// `up` or `down`: the edge's tunnel.
    Tunnel = "tunnel",
}
