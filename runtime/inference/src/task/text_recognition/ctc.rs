//! From probabilities to text: greedy CTC decoding (Graves et al. 2006, "best path").

use std::{fs::File, io::Read as _, path::Path};

/// A dictionary of more bytes is refused.
const MAX_DICTIONARY_BYTES: u64 = 4 << 20;

/// The classes of the graph in order. Class 0 is the blank.
#[derive(Debug)]
pub(super) struct Dictionary(Vec<Box<str>>);

/// A line as it was read.
#[derive(Debug, PartialEq)]
pub(super) struct Line {
    pub(super) text: String,
    /// Mean probability of its characters, from 0 to 1; 0 for an empty line.
    pub(super) confidence: f32,
}

impl Dictionary {
    /// Reads a file of one class a line. The error is a sentence for the operator.
    pub(super) fn load(path: &Path) -> Result<Self, String> {
        let mut text = String::new();
        File::open(path)
            .and_then(|file| file.take(MAX_DICTIONARY_BYTES + 1).read_to_string(&mut text))
            .map_err(|error| error.to_string())?;
        if text.len() as u64 > MAX_DICTIONARY_BYTES {
            return Err(format!("a dictionary of more than {MAX_DICTIONARY_BYTES} bytes"));
        }
        let dictionary = Self::parse(&text);
        if dictionary.classes() < 2 { Err("no dictionary: it has no characters".to_owned()) } else { Ok(dictionary) }
    }

    fn parse(text: &str) -> Self {
        // Not `lines`, which would take a carriage return for part of the line's end.
        Self(text.strip_suffix('\n').unwrap_or(text).split('\n').map(Box::from).collect())
    }

    /// How many classes there are, the blank among them.
    pub(super) fn classes(&self) -> usize {
        self.0.len()
    }

    /// Reads a line off the probabilities of all classes at each step, which lie one step after the other.
    pub(super) fn read(&self, probabilities: &[f32]) -> Line {
        let (mut text, mut sum, mut count, mut before) = (String::new(), 0.0, 0u16, 0);
        for step in probabilities.chunks_exact(self.classes().max(1)) {
            let (class, probability) = likeliest(step);
            if class != 0
                && class != before
                && let Some(character) = self.0.get(class)
            {
                text.push_str(character);
                sum += probability;
                count = count.saturating_add(1);
            }
            before = class;
        }
        Line { text, confidence: if count == 0 { 0.0 } else { sum / f32::from(count) } }
    }
}

fn likeliest(step: &[f32]) -> (usize, f32) {
    let mut best = (0, f32::NEG_INFINITY);
    for (class, &probability) in step.iter().enumerate() {
        if probability > best.1 {
            best = (class, probability);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::{Dictionary, Line};
    use proptest::prelude::*;

    fn steps(classes: &[usize], probability: f32) -> Vec<f32> {
        classes.iter().flat_map(|class| (0..4).map(move |c| if c == *class { probability } else { 0.0 })).collect()
    }

    #[test]
    fn repeats_are_one_letter_unless_a_blank_parts_them() {
        let dictionary = Dictionary::parse("blank\na\nb\n \n");
        assert_eq!(dictionary.classes(), 4);
        let line = dictionary.read(&steps(&[0, 1, 1, 0, 1, 2, 3, 3, 2, 0], 0.5));
        assert_eq!(line, Line { text: "aab b".to_owned(), confidence: 0.5 });
    }

    #[test]
    fn nothing_but_blanks_is_an_empty_line() {
        let dictionary = Dictionary::parse("blank\na\nb\n ");
        assert_eq!(dictionary.read(&steps(&[0, 0], 1.0)), Line { text: String::new(), confidence: 0.0 });
        assert_eq!(dictionary.read(&[f32::NAN; 8]).text, "");
    }

    proptest! {
        #[test]
        fn any_numbers_can_be_read(numbers in prop::collection::vec(any::<f32>(), 0..64)) {
            let dictionary = Dictionary::parse("blank\na\nb");
            prop_assert!(dictionary.read(&numbers).text.len() <= numbers.len() / 3);
        }
    }
}
