//! One function: its code, its processes, its invocations.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use uuid::{Builder, Uuid};

use super::code::{self, CodeError, Fingerprint};
use super::config::{FunctionConfig, Package, Runtimes};
use super::log::{Entry, Log};
use super::pool::{Job, Pool, Submitted, stopping};
use super::process;
use crate::integration::lambda::{InvokeError, Invoked};
use crate::net::clock::Clock;
use crate::net::tasks::Tasks;

/// How old the last look at the code may be when an invocation begins. A save is noticed by the
/// first invocation after that.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Asynchronous invocations of one function that are not done; ours.
pub(super) const EVENTS_MAX: usize = 1_000;
/// How long an asynchronous invocation is tried ("Error handling for asynchronous invocation").
const EVENT_AGE_MAX: Duration = Duration::from_secs(6 * 60 * 60);
/// The pause before an asynchronous invocation that was throttled is tried again (the same page).
const THROTTLED_PAUSE: Duration = Duration::from_secs(1);

/// What all functions of a node share.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) tasks: Tasks,
    pub(super) clock: Clock,
    pub(super) log: Log,
    pub(super) runtimes: Runtimes,
    pub(super) aws_region: String,
    pub(super) account_id: String,
    /// For unpacked packages.
    pub(super) unpacked: PathBuf,
    pub(super) event_retry_waits: [Duration; 2],
    /// Everything ends.
    pub(super) over: CancellationToken,
    /// Supervisors of processes.
    pub(super) alive: TaskTracker,
}

impl Host {
    pub(super) async fn stopping(&self) {
        tokio::select! {
            () = self.over.cancelled() => {}
            () = self.tasks.stopped().cancelled() => {}
        }
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.over.is_cancelled() || self.tasks.stopped().is_cancelled()
    }
}

#[derive(Debug)]
pub(super) struct Function {
    pub(super) config: FunctionConfig,
    pub(super) name: Arc<str>,
    /// Without a qualifier.
    arn: HeaderValue,
    pub(super) host: Arc<Host>,
    pub(super) pool: Pool,
    looks: Mutex<Looks>,
    processes: AtomicU64,
    events: Arc<Semaphore>,
}

/// When the code was looked at.
#[derive(Debug, Default)]
struct Looks {
    at: Option<Instant>,
    is_looking: bool,
    print: Option<Fingerprint>,
    /// Why the package of that state cannot be used: it is not tried again, for that may cost
    /// seconds, until it is another.
    failure: Option<InvokeError>,
}

/// What one invocation brings.
#[derive(Clone, Debug)]
pub(super) struct Order {
    /// Request id; the same for each attempt.
    pub(super) id: Arc<str>,
    pub(super) payload: Bytes,
    pub(super) streams: bool,
    pub(super) arn: HeaderValue,
    pub(super) trace_id: HeaderValue,
    pub(super) client_context: Option<HeaderValue>,
    pub(super) deadline: Instant,
}

impl Function {
    pub(super) fn new(config: FunctionConfig, host: Arc<Host>) -> Self {
        let Host { aws_region, account_id, .. } = &*host;
        let arn = format!("arn:aws:lambda:{aws_region}:{account_id}:function:{}", config.name);
        Self {
            name: config.name.as_str().into(),
            arn: HeaderValue::try_from(arn).unwrap_or(HeaderValue::from_static("")),
            pool: Pool::new(config.concurrency),
            config,
            host,
            looks: Mutex::default(),
            processes: AtomicU64::new(0),
            events: Arc::new(Semaphore::new(EVENTS_MAX)),
        }
    }

    /// The name to tell the function: with the qualifier that the caller used.
    pub(super) fn arn(&self, qualifier: Option<&str>) -> HeaderValue {
        let Some(qualifier) = qualifier else { return self.arn.clone() };
        let qualified = [self.arn.as_bytes(), b":", qualifier.as_bytes()].concat();
        HeaderValue::try_from(qualified).unwrap_or(HeaderValue::from_static(""))
    }

    pub(super) fn knows(&self, qualifier: Option<&str>) -> bool {
        qualifier.is_none_or(|qualifier| {
            qualifier == "$LATEST" || self.config.aliases.iter().any(|alias| alias == qualifier)
        })
    }

    /// Runs it now, or as soon as a process is free. Dropping the future leaves the function to
    /// finish what it has begun, as on AWS.
    pub(super) async fn run(self: &Arc<Self>, order: Order) -> Result<Invoked, InvokeError> {
        timeout_at(order.deadline, self.look()).await.unwrap_or(Err(InvokeError::TimedOut))?;
        let (reply, mut answer) = oneshot::channel();
        let Order { id, payload, streams, arn, trace_id, client_context, deadline } = order;
        let job = Job {
            id: Arc::clone(&id),
            payload,
            streams,
            arn,
            trace_id,
            client_context,
            home: Handle::current(),
            reply,
        };
        if self.pool.submit(job, self.config.queue != Some(Duration::ZERO))? == Submitted::Waits {
            self.grow();
        }
        if let Some(queue) = self.config.queue.filter(|queue| !queue.is_zero()) {
            let until = (Instant::now() + queue).min(deadline);
            match timeout_at(until, &mut answer).await {
                Ok(answer) => return answer.unwrap_or_else(|_| Err(stopping())),
                Err(_) if self.pool.withdraw_from_queue(&id) => {
                    let waited = format!("no process was free within {queue:?}");
                    return Err(InvokeError::Throttled(waited.into()));
                }
                Err(_) => {}
            }
        }
        match timeout_at(deadline, &mut answer).await {
            Ok(answer) => answer.unwrap_or_else(|_| Err(stopping())),
            Err(_) => {
                self.pool.withdraw(&id);
                Err(InvokeError::TimedOut)
            }
        }
    }

    /// Takes an asynchronous invocation; it runs later and is tried again when it fails.
    ///
    /// # Errors
    /// Too many are waiting.
    pub(super) fn accept(self: &Arc<Self>, order: Order) -> Result<(), InvokeError> {
        let place = Arc::clone(&self.events).try_acquire_owned().map_err(|_| {
            InvokeError::Throttled(format!("{EVENTS_MAX} events wait already").into())
        })?;
        let function = Arc::clone(self);
        self.host.tasks.spawn(async move {
            tokio::select! {
                () = function.deliver(&order) => {}
                () = function.host.stopping() => {
                    tracing::warn!(function = %function.name, id = %order.id, "The gateway stops; an event is dropped.");
                }
            }
            drop(place);
        });
        Ok(())
    }

    /// Up to three attempts; being throttled is none.
    async fn deliver(self: &Arc<Self>, order: &Order) {
        let deadline = Instant::now() + EVENT_AGE_MAX;
        let mut waits = self.host.event_retry_waits.iter();
        loop {
            let cause = match self.run(Order { deadline, ..order.clone() }).await {
                Ok(Invoked { function_error: None, .. }) => return,
                Ok(Invoked { function_error: Some(_), .. }) => "the function failed".to_owned(),
                Err(InvokeError::Throttled(_)) if Instant::now() < deadline => {
                    tokio::time::sleep(THROTTLED_PAUSE).await;
                    continue;
                }
                Err(error) => error.to_string(),
            };
            let (function, id) = (&self.name, &order.id);
            let Some(wait) = waits.next() else {
                tracing::warn!(%function, %id, cause, "An event failed for good and is dropped.");
                let text = format!("Event {id} failed for good and is dropped: {cause}");
                self.added(Entry::Text(text));
                return;
            };
            tracing::debug!(%function, %id, cause, ?wait, "An event failed and is tried again.");
            tokio::time::sleep(*wait).await;
        }
    }

    /// Starts as many processes as the waiting invocations are worth.
    pub(super) fn grow(self: &Arc<Self>) {
        let Some(starts) = self.pool.starts() else { return };
        for home in starts.homes {
            let process = self.processes.fetch_add(1, Ordering::Relaxed);
            let code = Arc::clone(&starts.code);
            let run = process::run(Arc::clone(self), code, process, home, starts.not_before);
            self.host.tasks.spawn(self.host.alive.track_future(run));
        }
    }

    /// A job that its process could not take.
    pub(super) fn give_back(self: &Arc<Self>, job: Job) {
        self.pool.give_back(job);
        self.grow();
    }

    /// A line of Lambda's own in the function's log.
    pub(super) fn added(&self, entry: Entry) {
        self.host.log.added(&self.name, entry);
    }

    /// Looks at the code if that is due. Only one looks at a time; the others go on with what there
    /// is, or wait in the pool when there is nothing yet.
    pub(super) async fn look(self: &Arc<Self>) -> Result<(), InvokeError> {
        {
            let mut looks = self.looks();
            let is_due = looks.at.is_none_or(|at| at.elapsed() >= LOOK_EVERY);
            if looks.is_looking || (!is_due && self.pool.has_code()) {
                return Ok(());
            }
            looks.is_looking = true;
        }
        // Others wait for what this look finds, so it outlives its caller.
        let function = Arc::clone(self);
        let looked = self.host.tasks.spawn(async move { function.look_now().await });
        looked.await.unwrap_or_else(|_| Err(stopping()))
    }

    async fn look_now(self: &Arc<Self>) -> Result<(), InvokeError> {
        let before = self.looks().print;
        let (package, unpacked) = (self.config.package.clone(), self.host.unpacked.clone());
        let read = move || read(&package, &unpacked, before);
        let found = self.host.tasks.runtime().spawn_blocking(read).await;
        let mut looks = self.looks();
        looks.is_looking = false;
        looks.at = Some(Instant::now());
        let refused = |cause: String| InvokeError::Service { status: 502, message: cause.into() };
        let Ok((print, found)) = found else {
            drop(looks);
            return self.without_code(refused("the package cannot be read".to_owned()));
        };
        match found {
            Ok(None) => {
                let failure = looks.failure.clone();
                drop(looks);
                return failure.map_or(Ok(()), |failure| self.without_code(failure));
            }
            Ok(Some(root)) => {
                looks.print = print;
                looks.failure = None;
                drop(looks);
                let generation = self.pool.renew(root);
                if generation > 1 {
                    tracing::info!(function = %self.name, "The code has changed; new processes.");
                }
                self.grow();
            }
            Err(error) if self.pool.has_code() => {
                looks.print = print.or(before);
                drop(looks);
                tracing::warn!(function = %self.name, %error, "The changed code cannot be used; the old one runs on.");
            }
            Err(error) => {
                let failure = refused(error.to_string());
                if error.is_lasting() {
                    looks.print = print;
                    looks.failure = Some(failure.clone());
                }
                drop(looks);
                return self.without_code(failure);
            }
        }
        Ok(())
    }

    fn without_code(&self, error: InvokeError) -> Result<(), InvokeError> {
        if self.pool.has_code() {
            return Ok(());
        }
        tracing::warn!(function = %self.name, %error, "The function cannot run.");
        self.pool.refuse_all(&error);
        Err(error)
    }

    fn looks(&self) -> MutexGuard<'_, Looks> {
        self.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The package's state, and its folder if that is another state than `before`. Blocks.
fn read(
    package: &Package,
    unpacked: &std::path::Path,
    before: Option<Fingerprint>,
) -> (Option<Fingerprint>, Result<Option<PathBuf>, CodeError>) {
    match code::fingerprint(package) {
        Ok(print) if Some(print) == before => (Some(print), Ok(None)),
        Ok(print) => (Some(print), code::unfold(package, unpacked).map(Some)),
        Err(error) => (None, Err(error)),
    }
}

/// A new request id.
pub(super) fn request_id() -> Arc<str> {
    // The generator that new calls use; `new_v4` asks the kernel each time.
    let id = Builder::from_random_bytes(rand::random()).into_uuid();
    Arc::from(&*id.hyphenated().encode_lower(&mut Uuid::encode_buffer()))
}
