//! Who gets which job, and what is told to whom.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderValue;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::integration::lambda::local::failure::Failure;
use crate::integration::lambda::local::pool::{Ending, Job, Offer, Pool, WAITING_MAX};
use crate::integration::lambda::{InvokeError, Invoked};

type Answer = oneshot::Receiver<Result<Invoked, InvokeError>>;

fn job(id: &str) -> (Job, Answer) {
    let (reply, answer) = oneshot::channel();
    let none = HeaderValue::from_static("");
    let job = Job {
        id: id.into(),
        payload: Bytes::new(),
        streams: false,
        arn: none.clone(),
        trace_id: none,
        client_context: None,
        home: Handle::current(),
        reply,
    };
    (job, answer)
}

fn ready(limit: usize) -> Pool {
    let pool = Pool::new(limit);
    assert_eq!(pool.renew("/code".into()), 1);
    pool
}

/// A process that has started and asked.
fn asks(pool: &Pool, process: u64) -> Offer {
    pool.has_started();
    offer(pool, process, 1)
}

fn offer(pool: &Pool, process: u64, generation: u64) -> Offer {
    pool.offer(process, generation, &Handle::current())
}

fn id(offer: Offer) -> String {
    match offer {
        Offer::Job(job) => job.id.to_string(),
        other => panic!("no job: {other:?}"),
    }
}

#[tokio::test]
async fn jobs_wait_in_order_and_the_last_idle_process_is_taken_first() {
    let pool = ready(4);
    let answers: Vec<_> = ["a", "b"]
        .into_iter()
        .map(|name| {
            let (job, answer) = job(name);
            pool.submit(job, true).unwrap();
            answer
        })
        .collect();
    assert_eq!(pool.starts().unwrap().homes.len(), 2);
    assert!(pool.starts().is_none(), "they are on their way");
    assert_eq!(id(asks(&pool, 1)), "a");
    assert_eq!(id(asks(&pool, 2)), "b");
    let (Offer::Wait(mut first), Offer::Wait(mut second)) =
        (offer(&pool, 1, 1), offer(&pool, 2, 1))
    else {
        panic!("there is work")
    };
    let (third, _answer) = job("c");
    pool.submit(third, true).unwrap();
    assert!(first.try_recv().is_err());
    assert_eq!(&*second.try_recv().unwrap().id, "c");
    // A process that has gone is passed over, here to the one before it.
    let Offer::Wait(gone) = offer(&pool, 2, 1) else { panic!("there is work") };
    drop(gone);
    let (fourth, _answer) = job("d");
    pool.submit(fourth, true).unwrap();
    assert_eq!(&*first.try_recv().unwrap().id, "d");
    // Nobody waits for the answer to this one any more.
    let (fifth, answer) = job("e");
    pool.submit(fifth, true).unwrap();
    drop(answer);
    assert!(matches!(offer(&pool, 1, 1), Offer::Wait(_)));
    drop(answers);
}

#[tokio::test]
async fn there_is_a_limit_to_processes_and_to_waiting() {
    let pool = ready(1);
    let mut answers = Vec::new();
    let mut submit = |name: &str, may_wait| {
        let (job, answer) = job(name);
        answers.push(answer);
        pool.submit(job, may_wait)
    };
    submit("first", false).unwrap();
    assert!(matches!(submit("second", false), Err(InvokeError::Throttled(_))));
    assert_eq!(pool.starts().unwrap().homes.len(), 1);
    for _ in 1..WAITING_MAX {
        submit("more", true).unwrap();
    }
    assert!(pool.starts().is_none());
    assert!(matches!(submit("too many", true), Err(InvokeError::Throttled(_))));
    assert!(!pool.withdraw_from_queue("first"), "its process is starting");
    assert!(pool.withdraw("first") && !pool.withdraw("first"));
    assert!(pool.withdraw_from_queue("more") || pool.withdraw("more"));
}

#[tokio::test(start_paused = true)]
async fn a_start_that_fails_is_told_and_the_next_ones_pause() {
    let pool = ready(2);
    let mut waits = Vec::new();
    for round in 0..9 {
        let (job, mut answer) = job("a");
        pool.submit(job, true).unwrap();
        let now = Instant::now();
        let starts = pool.starts().unwrap();
        assert_eq!(starts.homes.len(), 1);
        waits.push(starts.not_before.map_or(Duration::ZERO, |at| at - now));
        let failure = Failure::Exited(Some("exit status 1".into()));
        pool.has_ended(round, Ending::Failed(failure), now);
        let invoked = answer.try_recv().unwrap().unwrap();
        assert_eq!(invoked.function_error.as_deref(), Some("Unhandled"));
    }
    let millis: Vec<_> = waits.iter().map(Duration::as_millis).collect();
    assert_eq!(millis, [0, 0, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
    // One that works makes all well.
    let (last, _answer) = job("b");
    pool.submit(last, true).unwrap();
    pool.starts().unwrap();
    assert_eq!(id(asks(&pool, 9)), "b");
    let (next, _answer) = job("c");
    pool.submit(next, true).unwrap();
    assert!(pool.starts().unwrap().not_before.is_none());
}

#[tokio::test]
async fn new_code_retires_processes_of_the_old() {
    let pool = ready(2);
    let Offer::Wait(mut idle) = asks(&pool, 1) else { panic!("there is work") };
    assert_eq!(pool.renew("/new".into()), 2);
    assert!(matches!(idle.try_recv(), Err(oneshot::error::TryRecvError::Closed)));
    assert!(matches!(offer(&pool, 2, 1), Offer::Retire));
    assert!(matches!(offer(&pool, 3, 2), Offer::Wait(_)));
    pool.close();
    assert!(matches!(offer(&pool, 3, 2), Offer::Retire));
    let (late, _answer) = job("late");
    assert!(matches!(pool.submit(late, true), Err(InvokeError::Network(_))));
}

/// Lambda Developer Guide, "Troubleshoot execution issues in Lambda".
#[test]
fn failures_read_as_lambdas() {
    let late = Failure::TimedOut {
        time: "2026-01-31T12:00:00.123Z".into(),
        after: Duration::from_secs(3),
    };
    for (failure, kind, message) in [
        (late, "Sandbox.Timedout", "2026-01-31T12:00:00.123Z id Task timed out after 3.00 seconds"),
        (
            Failure::Exited(Some("exit status 1".into())),
            "Runtime.ExitError",
            "RequestId: id Error: Runtime exited with error: exit status 1",
        ),
        (
            Failure::Exited(None),
            "Runtime.ExitError",
            "RequestId: id Error: Runtime exited without providing a reason",
        ),
        (
            Failure::OutOfMemory,
            "Runtime.OutOfMemory",
            "RequestId: id Error: Runtime exited with error: signal: killed",
        ),
        (
            Failure::AnswerTooLarge { limit: 6_291_556 },
            "Function.ResponseSizeTooLarge",
            "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
        ),
    ] {
        assert_eq!((failure.kind(), failure.message("id").as_str()), (kind, message));
    }
}

#[test]
fn a_process_serves_callers_of_its_own_thread_first() {
    let runtime = || Builder::new_current_thread().build().unwrap();
    let (here, there) = (runtime(), runtime());
    let pool = ready(2);
    let _entered = here.enter();
    let (first, _answer) = job("here");
    let (mut second, _answer) = job("there");
    second.home = there.handle().clone();
    pool.submit(first, true).unwrap();
    pool.submit(second, true).unwrap();
    let homes: Vec<_> = pool.starts().unwrap().homes.iter().map(Handle::id).collect();
    assert_eq!(homes, [here.handle().id(), there.handle().id()]);
    assert_eq!(id(asks(&pool, 1)), "here");
    pool.has_started();
    assert_eq!(id(pool.offer(2, 1, there.handle())), "there");

    // The second worked last, yet the first is nearer; when only a far one is left it will do.
    let Offer::Wait(mut near) = offer(&pool, 1, 1) else { panic!("there is work") };
    let Offer::Wait(mut far) = pool.offer(2, 1, there.handle()) else { panic!("there is work") };
    for name in ["near", "far"] {
        pool.submit(job(name).0, true).unwrap();
    }
    assert_eq!(&*near.try_recv().unwrap().id, "near");
    assert_eq!(&*far.try_recv().unwrap().id, "far");
}
