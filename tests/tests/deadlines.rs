//! A deadline that is moved is that of one try, also where another host starts the next one.
#![expect(clippy::unwrap_used, reason = "what fails here fails the test, at its line")]

use std::path::Path;

use nod_client::new_operation;
use nod_core::ids::TaskId;
use nod_core::protocol::{Call, Reply};
use nod_core::shim::{SPEC_FILE, Spec};
use nod_core::task::StateName;
use nod_tests::{TestHost, until};

const TWENTY_MINUTES: Option<u64> = Some(1_200_000);

/// Waits for a word before it fails, the first time.
const ONCE: &str = "[ -e failed ] && exit 0; while [ ! -e go ]; do sleep 0.02; done; \
                    touch failed; exit 1";

/// Returns how long the shim of a try was told that it may run.
fn told(host: &TestHost, id: TaskId, attempt: usize) -> Option<u64> {
    let log = host.detail(id).attempts[attempt - 1].log_path.clone();
    let spec = std::fs::read(Path::new(&log).with_file_name(SPEC_FILE)).unwrap();
    serde_json::from_slice::<Spec>(&spec).unwrap().timeout_ms
}

#[test]
fn the_next_try_has_its_own_time_though_another_host_starts_it() {
    for limit in ["30m", "1h", "none"] {
        let mut host = TestHost::start();
        let id = host.submit_with(&["--timeout", "20m", "--retries", "1"], &[ONCE]);
        host.wait_for_state(id, StateName::Running);
        let moved = host.run(&["deadline", &id.to_string(), limit]);
        assert_eq!(moved.code, Some(0), "{moved:?}");
        assert_ne!(host.task(id).timeout_ms, TWENTY_MINUTES, "{limit}");
        // The same command once more is another task, with the time that this one was given.
        let operation = new_operation().unwrap();
        let Reply::Submitted { id: other, .. } = host.call(&Call::RunAgain { operation, id })
        else {
            panic!("not submitted");
        };
        assert_eq!(host.task(other).timeout_ms, TWENTY_MINUTES, "{limit}");
        host.kill();
        host.restart();
        until("the adopted task", || (host.state(id) == StateName::Running).then_some(()));
        std::fs::write(host.work().join("go"), "").unwrap();
        assert_eq!(host.wait_for_end(id).state.name(), StateName::Succeeded, "{limit}");
        assert_eq!((told(&host, id, 1), told(&host, id, 2)), (TWENTY_MINUTES, TWENTY_MINUTES));
        assert_eq!(host.task(id).timeout_ms, TWENTY_MINUTES, "{limit}");
        host.wait_for_end(other);
    }
}
