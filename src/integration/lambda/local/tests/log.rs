//! Lambda's own lines, as its console shows them ("Viewing CloudWatch logs for Lambda functions").

use std::time::Duration;

use crate::integration::lambda::local::failure::Failure;
use crate::integration::lambda::local::log::{Entry, Millis, Report};

#[test]
fn lines_read_as_lambdas() {
    let report = |took, init, failure| {
        Entry::Report(Box::new(Report {
            id: "5d1c".into(),
            took: Duration::from_micros(took),
            memory_mb: 128,
            used_mb: 31,
            init,
            failure,
        }))
    };
    let late = Failure::TimedOut { time: "now".into(), after: Duration::from_secs(3) };
    let cases = [
        (Entry::Start("5d1c".into()), "START RequestId: 5d1c Version: $LATEST"),
        (Entry::End("5d1c".into()), "END RequestId: 5d1c"),
        (
            report(1_234, None, None),
            "REPORT RequestId: 5d1c\tDuration: 1.23 ms\tBilled Duration: 2 ms\tMemory Size: 128 MB\t\
             Max Memory Used: 31 MB\t",
        ),
        (
            report(2_000, Some(Duration::from_micros(101_005)), None),
            "REPORT RequestId: 5d1c\tDuration: 2.00 ms\tBilled Duration: 2 ms\tMemory Size: 128 MB\t\
             Max Memory Used: 31 MB\tInit Duration: 101.01 ms\t",
        ),
        (
            report(3_000_000, None, Some(late)),
            "REPORT RequestId: 5d1c\tDuration: 3000.00 ms\tBilled Duration: 3000 ms\t\
             Memory Size: 128 MB\tMax Memory Used: 31 MB\tStatus: timeout",
        ),
        (
            report(9, None, Some(Failure::OutOfMemory)),
            "REPORT RequestId: 5d1c\tDuration: 0.01 ms\tBilled Duration: 1 ms\tMemory Size: 128 MB\t\
             Max Memory Used: 31 MB\tStatus: error\tError Type: Runtime.OutOfMemory",
        ),
    ];
    for (entry, line) in cases {
        assert_eq!(entry.to_string(), line);
    }
}

#[test]
fn durations_have_two_decimals() {
    for (micros, text) in
        [(0, "0.00"), (4, "0.00"), (5, "0.01"), (99_994, "99.99"), (99_995, "100.00")]
    {
        assert_eq!(Millis(Duration::from_micros(micros)).to_string(), text);
    }
}
