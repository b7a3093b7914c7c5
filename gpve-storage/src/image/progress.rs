/// Reads what `qemu-img convert -p` prints: `    (12.34/100%)`, each over the one before.
#[derive(Debug, Default)]
pub struct Progress {
    /// The piece of a report that came without its end.
    rest: Vec<u8>,
    reported: Option<u8>,
}

/// A report is 20 bytes; more without an end is something else.
const REPORT_BYTES_MAX: usize = 64;
/// A line in a task's log for each of these is enough to see that it moves.
const STEP_PERCENT: u8 = 5;

impl Progress {
    /// Takes the next bytes of output; gives the percentage when it reached the next multiple of five.
    pub fn take(&mut self, piece: &[u8]) -> Option<u8> {
        self.rest.extend_from_slice(piece);
        let mut latest = None;
        while let Some(end) = self.rest.iter().position(|byte| *byte == b')') {
            latest = percent(&self.rest[..end]).or(latest);
            self.rest.drain(..=end);
        }
        if self.rest.len() > REPORT_BYTES_MAX {
            self.rest.clear();
        }
        let step = latest? / STEP_PERCENT * STEP_PERCENT;
        if self.reported.is_some_and(|reported| reported >= step) {
            return None;
        }
        self.reported = Some(step);
        Some(step)
    }
}

fn percent(report: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(report).ok()?;
    let number = text.rsplit_once('(')?.1.strip_suffix("/100%")?;
    let whole = number.split_once('.').map_or(number, |(whole, _)| whole);
    whole.parse::<u8>().ok().filter(|percent| *percent <= 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_of_five_percent_is_told_once() {
        let mut progress = Progress::default();
        let output = b"    (0.00/100%)\r    (1.01/100%)\r    (12.34/100%)\r    (14.99/100%)\r    (100.00/100%)\r    \n";
        let told: Vec<_> = output.iter().filter_map(|byte| progress.take(&[*byte])).collect();
        assert_eq!(told, [0, 10, 100]);
        assert_eq!(progress.take(b"    (100.00/100%)\r"), None);
    }

    #[test]
    fn other_output_is_passed_over() {
        let mut progress = Progress::default();
        assert_eq!(progress.take(b"warning: (x) (300/100%) (-1/100%) (/100%)"), None);
        assert_eq!(progress.take(&[b'x'; 1000]), None);
        assert_eq!(progress.take(b"(50.00/100%)"), Some(50));
    }
}
