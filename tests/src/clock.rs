//! A wall clock that a test sets.

use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use nod_client::{ClientError, new_operation};
use nod_core::ids::TaskId;
use nod_core::protocol::{Call, ErrorCode};

use crate::home::{Home, program};

/// A wall clock that can be set; everything in the same home goes by it.
pub struct Clock {
    file: PathBuf,
    /// How far it is ahead, in seconds.
    ahead: i64,
}

impl Clock {
    /// Puts a clock into a home; it goes right at first.
    #[must_use]
    pub fn of(home: Home) -> (Home, Self) {
        let file = home.path().join("clock");
        let mut clock = Self { file, ahead: 0 };
        clock.set(0);
        let home = home
            .with_variable("LD_PRELOAD", program("libnod_test_clock.so"))
            .with_variable("NOD_TEST_CLOCK", &clock.file);
        (home, clock)
    }

    /// Sets the clock to so many seconds ahead of the right time.
    ///
    /// # Panics
    /// When the disk does not let it.
    pub fn set(&mut self, ahead: i64) {
        self.write(&ahead.to_string());
        self.ahead = ahead;
    }

    /// Has whatever begins to wait now wait an hour too long, as where the machine sleeps so long:
    /// only the clock on the wall goes on then.
    ///
    /// # Panics
    /// When the disk does not let it.
    pub fn sleep_an_hour(&self) {
        self.write("0 3600");
    }

    fn write(&self, text: &str) {
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{text}\n")).unwrap();
        fs::rename(&new, &self.file).unwrap();
    }

    /// Sets the clock so many seconds on from where it stands.
    pub fn jump(&mut self, seconds: i64) {
        self.set(self.ahead + seconds);
    }

    /// Lets a second pass within a moment: so little that a host takes it for time that has passed.
    ///
    /// # Panics
    /// When there is no host.
    #[track_caller]
    pub fn pass_a_second(&mut self, home: &Home) {
        self.jump(1);
        // Whatever it is asked for, a host looks at the clock: no task has this number.
        let operation = new_operation().unwrap();
        let refused = home.connect().call(&Call::Cancel { operation, id: TaskId(0) }).unwrap_err();
        let is_looked =
            matches!(&refused, ClientError::Refused(why) if why.code == ErrorCode::NotFound);
        assert!(is_looked, "{refused}");
    }

    /// Returns the time as everything in the home sees it, in milliseconds.
    ///
    /// # Panics
    /// Where the machine's own clock is out of all bounds.
    #[must_use]
    pub fn now(&self) -> i64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        i64::try_from(since.as_millis()).unwrap() + self.ahead * 1_000
    }
}
