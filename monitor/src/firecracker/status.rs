//! Reads how an image on Firecracker ended from its own last line on the console. Only this
//! line is removed from the output.

/// The image's last line, requested by the word `status` on its command line
/// (`libos/src/platform/pvh/power.rs`).
const MARK: &[u8] = b"bespoke: ended with code ";

/// Filters the output and extracts the last line.
pub(crate) struct Status {
    /// The beginning of a possible last line.
    kept: Vec<u8>,
    at_line_start: bool,
}

impl Status {
    pub(crate) fn new() -> Self {
        Self {
            kept: Vec::new(),
            at_line_start: true,
        }
    }

    /// Processes `bytes`; returns the output that can be passed on.
    pub(crate) fn pass(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() + self.kept.len());
        for &byte in bytes {
            if !self.kept.is_empty() {
                self.kept.push(byte);
                if self.may_be() {
                    continue;
                }
                // It was another line; the byte may begin the next.
                self.kept.pop();
                self.at_line_start = self.kept.ends_with(b"\n");
                out.append(&mut self.kept);
            }
            if self.at_line_start && byte == MARK[0] {
                self.kept.push(byte);
            } else {
                out.push(byte);
            }
            self.at_line_start = byte == b'\n';
        }
        out
    }

    /// Whether the kept bytes begin like the line. A whole line is kept until something follows.
    fn may_be(&self) -> bool {
        let common = self.kept.len().min(MARK.len());
        let rest = &self.kept[common..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.kept[..common] == MARK[..common]
            && matches!(&rest[digits..], b"" | b"\r" | b"\n" | b"\r\n")
    }

    /// At the end: returns the code, or the bytes that were kept by mistake.
    pub(crate) fn end(self) -> Result<u8, Vec<u8>> {
        let digits = self.kept.strip_prefix(MARK);
        let text = digits.and_then(|digits| std::str::from_utf8(digits).ok());
        text.and_then(|text| text.trim_end().parse().ok())
            .ok_or(self.kept)
    }
}

#[cfg(test)]
mod tests {
    use super::Status;

    fn through(parts: &[&[u8]]) -> (Vec<u8>, Option<u8>) {
        let mut status = Status::new();
        let mut out: Vec<u8> = parts.iter().flat_map(|part| status.pass(part)).collect();
        match status.end() {
            Ok(code) => (out, Some(code)),
            Err(rest) => {
                out.extend(rest);
                (out, None)
            }
        }
    }

    #[test]
    fn the_last_line_is_taken_and_nothing_else_is_lost() {
        let line: &[u8] = b"bespoke: ended with code 42\n";
        assert_eq!(
            through(&[b"hello\n", line]),
            (b"hello\n".to_vec(), Some(42))
        );
        let bytes: Vec<&[u8]> = line.chunks(1).collect();
        assert_eq!(through(&bytes), (Vec::new(), Some(42)));
        // Printed by the program itself, with more output after it.
        let both = [line, b"more\n"].concat();
        assert_eq!(through(&[&both]), (both.clone(), None));
        for text in [
            &b""[..],
            b"b",
            b"bbespoke",
            b"bespoke: x\nbespoke: ended with code",
            b"x bespoke: ended with code 1\n",
            b"bespoke: ended with code 300\n",
            b"\n\n\r\n",
        ] {
            assert_eq!(through(&[text]), (text.to_vec(), None), "{text:?}");
        }
        let two = [line, b"bespoke: ended with code 3\n"].concat();
        assert_eq!(through(&[&two]), (line.to_vec(), Some(3)));
    }
}
