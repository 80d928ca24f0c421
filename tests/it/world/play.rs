//! What a backend does when it is asked, as a test spells it out.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

/// Bytes of one piece of a generated body.
pub(super) const PIECE_BYTES: u64 = 16 * 1024;

/// Longer than any test waits.
pub(super) const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// What to do on a path.
#[derive(Clone, Debug)]
pub(crate) struct Play {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) head_after: Duration,
    pub(super) upload: UploadPlay,
    pub(super) script: Script,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum UploadPlay {
    /// Reads the body before it answers, with a pause between pieces.
    Reads {
        pause: Duration,
    },
    Ignores,
}

#[derive(Clone, Debug)]
pub(super) enum Script {
    Whole(Bytes),
    /// The pattern, in pieces of this size with a pause after each.
    Pattern {
        bytes: u64,
        piece: u64,
        pause: Duration,
    },
    /// The pattern up to here, then the connection or stream breaks.
    Breaks {
        after: u64,
    },
    /// The pattern up to here, then nothing, for ever.
    Stalls {
        after: u64,
    },
    Echo,
}

impl Play {
    fn new(script: Script) -> Self {
        Self {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            head_after: Duration::ZERO,
            upload: UploadPlay::Reads { pause: Duration::ZERO },
            script,
        }
    }

    /// 200 with this text.
    pub(crate) fn text(text: &str) -> Self {
        Self::new(Script::Whole(Bytes::copy_from_slice(text.as_bytes())))
            .header("content-type", "text/plain")
    }

    /// 200 with this many bytes of [`pattern`], and a length.
    pub(crate) fn bytes(bytes: u64) -> Self {
        let script = Script::Pattern { bytes, piece: PIECE_BYTES, pause: Duration::ZERO };
        Self::new(script).header("content-length", &bytes.to_string())
    }

    /// 200 with `times` pieces of [`pattern`], a pause after each, no length.
    pub(crate) fn drip(piece: u64, times: u64, pause: Duration) -> Self {
        Self::new(Script::Pattern { bytes: piece * times, piece, pause })
    }

    /// The request's body, piece by piece as it comes.
    pub(crate) fn echo() -> Self {
        Self::new(Script::Echo)
    }

    /// Never answers.
    pub(crate) fn hangs() -> Self {
        Self::text("").after(FOREVER)
    }

    /// 200, declares twice as much, and breaks off after this many bytes.
    pub(crate) fn breaks(after: u64) -> Self {
        let declared = (2 * after).max(1).to_string();
        Self::new(Script::Breaks { after }).header("content-length", &declared)
    }

    /// 200, this many bytes, and no end.
    pub(crate) fn stalls(after: u64) -> Self {
        Self::new(Script::Stalls { after })
    }

    pub(crate) fn status(mut self, status: u16) -> Self {
        self.status = StatusCode::from_u16(status).unwrap();
        self
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        self.headers.append(name, HeaderValue::from_str(value).unwrap());
        self
    }

    /// The head comes after this much time.
    pub(crate) fn after(self, head_after: Duration) -> Self {
        Self { head_after, ..self }
    }

    /// Answers without reading the request's body.
    pub(crate) fn without_reading(self) -> Self {
        Self { upload: UploadPlay::Ignores, ..self }
    }

    /// Reads the request's body slowly: a pause after each piece.
    pub(crate) fn reading_slowly(self, pause: Duration) -> Self {
        Self { upload: UploadPlay::Reads { pause }, ..self }
    }
}

/// The bytes backends send: byte `n` is `n % 251`, so that a shift or a gap shows.
pub(crate) fn pattern(from: u64, bytes: u64) -> Bytes {
    (from..from + bytes).map(|n| u8::try_from(n % 251).expect("below 251")).collect()
}
