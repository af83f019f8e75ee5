//! The rows of the result: what was measured, its limit, and whether the goal is met.

use std::fmt::{self, Display};
use std::time::Duration;

use crate::samples::Samples;

/// One measured value.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Time {
        p50: Duration,
        p99: Duration,
    },
    Seconds(Duration),
    /// So many a second.
    Rate(f64),
    Bytes(f64),
    /// Of one core.
    Percent(f64),
    None,
}

/// What a measure must come to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Goal {
    RatioAtMost(f64),
    RatioAtLeast(f64),
    P50AtMost(Duration),
    P99AtMost(Duration),
    AtMost(f64),
    /// Shown to understand the other rows.
    None,
}

#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) measure: String,
    pub(crate) nod: Value,
    pub(crate) limit: Value,
    pub(crate) goal: Goal,
}

#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Row>,
}

impl From<&Samples> for Value {
    fn from(samples: &Samples) -> Self {
        Self::Time { p50: samples.p50(), p99: samples.p99() }
    }
}

impl Value {
    /// Returns the number that a ratio is made of; the median of times.
    fn number(&self) -> Option<f64> {
        match self {
            Self::Time { p50: time, .. } | Self::Seconds(time) => Some(time.as_secs_f64()),
            Self::Rate(number) | Self::Bytes(number) | Self::Percent(number) => Some(*number),
            Self::None => None,
        }
    }
}

impl Row {
    fn ratio(&self) -> Option<f64> {
        Some(self.nod.number()? / self.limit.number()?)
    }

    /// Returns whether the goal is met; nothing where there is none.
    fn is_met(&self) -> Option<bool> {
        match (self.goal, &self.nod) {
            (Goal::RatioAtMost(most), _) => Some(self.ratio()? <= most),
            (Goal::RatioAtLeast(least), _) => Some(self.ratio()? >= least),
            (Goal::P50AtMost(most), Value::Time { p50, .. }) => Some(*p50 <= most),
            (Goal::P99AtMost(most), Value::Time { p99, .. }) => Some(*p99 <= most),
            (Goal::AtMost(most), value) => Some(value.number()? <= most),
            (Goal::P50AtMost(_) | Goal::P99AtMost(_) | Goal::None, _) => None,
        }
    }

    fn cells(&self) -> [String; 6] {
        [
            self.measure.clone(),
            self.nod.to_string(),
            self.limit.to_string(),
            self.ratio().map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
            self.goal_text(),
            match self.is_met() {
                Some(true) => "ok".to_owned(),
                Some(false) => "over".to_owned(),
                None => String::new(),
            },
        ]
    }

    fn goal_text(&self) -> String {
        match self.goal {
            Goal::RatioAtMost(most) => format!("≤ {most} ×"),
            Goal::RatioAtLeast(least) => format!("≥ {least} ×"),
            Goal::P50AtMost(most) => format!("p50 ≤ {}", short(most)),
            Goal::P99AtMost(most) => format!("p99 ≤ {}", short(most)),
            Goal::AtMost(most) => format!("≤ {}", self.nod.like(most)),
            Goal::None => String::new(),
        }
    }
}

impl Value {
    /// Returns a number as a value of the same kind.
    fn like(&self, number: f64) -> Self {
        match self {
            Self::Time { .. } | Self::Seconds(_) => Self::Seconds(Duration::from_secs_f64(number)),
            Self::Rate(_) => Self::Rate(number),
            Self::Bytes(_) => Self::Bytes(number),
            Self::Percent(_) => Self::Percent(number),
            Self::None => Self::None,
        }
    }
}

impl Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time { p50, p99 } => write!(f, "{} / {}", short(*p50), short(*p99)),
            Self::Seconds(time) => f.write_str(&short(*time)),
            Self::Rate(rate) => write!(f, "{rate:.0}/s"),
            Self::Bytes(bytes) if *bytes >= 1_048_576.0 => {
                write!(f, "{:.1} MiB", bytes / 1_048_576.0)
            }
            Self::Bytes(bytes) => write!(f, "{:.1} KiB", bytes / 1024.0),
            Self::Percent(percent) => write!(f, "{percent:.3} %"),
            Self::None => Ok(()),
        }
    }
}

/// Returns a time in milliseconds, or in seconds from a second on.
fn short(time: Duration) -> String {
    let milliseconds = time.as_secs_f64() * 1000.0;
    if milliseconds >= 1000.0 {
        format!("{:.2} s", time.as_secs_f64())
    } else {
        format!("{milliseconds:.2} ms")
    }
}

impl Table {
    pub(crate) fn extend(&mut self, rows: Vec<Row>) {
        self.rows.extend(rows);
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["measure", "Nod p50 / p99", "limit in the same run", "ratio", "goal", ""];
        let mut lines = vec![head.map(str::to_owned)];
        lines.extend(self.rows.iter().map(Row::cells));
        let width = |column: usize| {
            lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0)
        };
        let widths: [usize; 6] = std::array::from_fn(width);
        for (number, line) in lines.iter().enumerate() {
            let cells: Vec<_> =
                line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            writeln!(f, "| {} |", cells.join(" | "))?;
            if number == 0 {
                let rules: Vec<_> = widths.iter().map(|width| "-".repeat(*width)).collect();
                writeln!(f, "| {} |", rules.join(" | "))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(nod: Value, limit: Value, goal: Goal) -> Row {
        Row { measure: "x".into(), nod, limit, goal }
    }

    #[test]
    fn a_goal_is_met_or_not() {
        let time = |ms| {
            let time = Duration::from_millis(ms);
            Value::Time { p50: time, p99: time * 2 }
        };
        let cases = [
            (row(time(2), time(1), Goal::RatioAtMost(2.2)), Some(true)),
            (row(time(3), time(1), Goal::RatioAtMost(2.2)), Some(false)),
            (row(Value::Rate(50.0), Value::Rate(100.0), Goal::RatioAtLeast(0.5)), Some(true)),
            (row(time(3), Value::None, Goal::P99AtMost(Duration::from_millis(5))), Some(false)),
            (row(time(3), Value::None, Goal::P50AtMost(Duration::from_millis(5))), Some(true)),
            (row(Value::Percent(0.2), Value::None, Goal::AtMost(0.1)), Some(false)),
            (row(time(3), time(1), Goal::None), None),
        ];
        for (row, met) in cases {
            assert_eq!(row.is_met(), met, "{row:?}");
        }
    }
}
