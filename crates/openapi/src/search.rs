//! Finding operations by words, for servers that have too many to list.

use crate::catalogue::{Catalogue, Tool};

/// Most words of a question that are looked for.
const WORDS_MAX: usize = 16;

impl Catalogue {
    /// The operations that fit the words best, at most `max`; equal ones in the order of the catalogue.
    #[must_use]
    pub fn search(&self, words: &str, max: usize) -> Vec<&Tool> {
        let words: Vec<String> = split(words).into_iter().take(WORDS_MAX).collect();
        let mut scored: Vec<(usize, usize)> = Vec::new();
        for (n, tool) in self.tools.iter().enumerate() {
            let score: usize = score(tool, &words);
            if score > 0 {
                scored.push((score, n));
            }
        }
        scored.sort_by_key(|(score, n)| (usize::MAX - score, *n));
        scored.into_iter().take(max).map(|(_, n)| &self.tools[n]).collect()
    }
}

/// Each word counts where it weighs most: in the name, the path, the summary, the description. All words count more than one of
/// them several times, and a name that says nothing else more than one that says more.
fn score(tool: &Tool, words: &[String]) -> usize {
    let name = split(&tool.name);
    let length = name.len();
    let places =
        [(8, name), (6, split(&tool.path)), (5, split(&tool.summary)), (1, split(&tool.description))];
    let method = tool.method.to_lowercase();
    let of = |word: &String| {
        let in_place = |(weight, place): &(usize, Vec<String>)| {
            if place.contains(word) {
                return 2 * weight;
            }
            let similar = |other: &String| {
                let both_long = word.len() >= 4 && other.len() >= 4;
                both_long && (other.starts_with(word.as_str()) || word.starts_with(other.as_str()))
            };
            if place.iter().any(similar) { *weight } else { 0 }
        };
        let best: usize = places.iter().map(in_place).sum();
        best + usize::from(*word == method) * 4
    };
    let scores: Vec<usize> = words.iter().map(of).collect();
    let found = scores.iter().filter(|score| **score > 0).count();
    scores.iter().sum::<usize>() * found * 64 / (length + 2)
}

/// Words that say nothing about what is looked for.
const SMALL: &[&str] =
    &["a", "an", "the", "of", "to", "for", "in", "on", "all", "by", "and", "or", "with", "from", "me", "my"];

/// A word without the end that tells several from one.
fn stem(word: String) -> String {
    match word.strip_suffix('s') {
        Some(one) if one.len() >= 3 && !one.ends_with(['s', 'u', 'i']) => one.to_owned(),
        _ => word,
    }
}

/// Small words, also where a name begins another one with a capital.
fn split(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut before) = (String::new(), ' ');
    for c in text.chars() {
        let begins = !c.is_alphanumeric() || (c.is_uppercase() && before.is_lowercase());
        if begins && !word.is_empty() {
            words.push(std::mem::take(&mut word));
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        before = c;
    }
    words.push(word);
    words.retain(|word| !word.is_empty() && !SMALL.contains(&word.as_str()));
    words.into_iter().map(stem).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_names() {
        assert_eq!(split("getPetById /pets/{pet-id}"), ["get", "pet", "id", "pet", "pet", "id"]);
    }
}
