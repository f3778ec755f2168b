//! Texts woven from the words of a prompt.

use super::image::Chance;

/// Says of every text that nobody wrote it.
const LABEL: &str = "[mock]";

/// `{}` is a word of the prompt.
const SENTENCES: &[&str] = &[
    "The {} waits where the {} began .",
    "Nobody asked the {} , yet the {} answered .",
    "Between {} and {} there is only patience .",
    "It remembers every {} it has met .",
    "Then , slowly , the {} turned towards the {} .",
    "Some say {} is another word for {} .",
    "And so the {} went on .",
    "What the {} knew , the {} had to learn .",
    "No {} is ever only {} .",
    "By morning the {} had become a story about {} .",
];

const STOP_WORDS: &[&str] = &[
    "about", "after", "again", "and", "are", "but", "can", "could", "does", "for", "from", "has", "have",
    "her", "his", "how", "into", "its", "me", "not", "of", "on", "our", "should", "that", "the", "their",
    "them", "then", "there", "these", "they", "this", "was", "what", "when", "where", "which", "who", "why",
    "will", "with", "would", "write", "you", "your", "tell", "please", "in", "under", "over", "or", "so",
    "be", "do", "if", "as", "we", "he", "she", "is", "it", "to", "an", "at", "by", "my",
];

/// What short prompts are told of besides.
const FILLERS: &[&str] = &["silence", "echo", "morning", "tide"];

/// Tokens of a text about a prompt: as many as asked for, always the same ones for the same prompt and
/// number. Joined, they are the text.
pub fn text(prompt: &str, max_tokens: usize) -> Vec<String> {
    let words = words_of(prompt);
    let mut chance = Chance::of(prompt.as_bytes());
    let mut tokens = vec![LABEL.to_owned()];
    let mut last = usize::MAX;
    let (mut used, mut said) = (0, usize::MAX);
    while tokens.len() < max_tokens {
        let mut pick = chance.below(SENTENCES.len());
        if pick == last {
            pick = (pick + 1) % SENTENCES.len();
        }
        last = pick;
        for part in SENTENCES[pick].split(' ') {
            let word = match part {
                "{}" => {
                    used += 1;
                    // Each word once, in the prompt's order, before chance picks them.
                    let pick = if used <= words.len() { used - 1 } else { chance.below(words.len()) };
                    // Never the same word twice in a row.
                    said = if pick == said { (pick + 1) % words.len() } else { pick };
                    words[said].as_str()
                }
                part => part,
            };
            let space = if matches!(word, "," | ".") { "" } else { " " };
            tokens.push(format!("{space}{word}"));
        }
    }
    close(&mut tokens, max_tokens);
    tokens
}

/// Cuts to the length, so that the last sentence still ends.
fn close(tokens: &mut Vec<String>, max_tokens: usize) {
    if tokens.len() <= max_tokens {
        return;
    }
    tokens.truncate(max_tokens);
    if max_tokens > 2 {
        tokens.pop();
        if tokens.last().is_some_and(|token| token == ",") {
            tokens.pop();
        }
        if tokens.last().is_some_and(|token| token != ".") {
            tokens.push(".".into());
        }
    }
}

/// The words of a prompt that mean something, each once.
fn words_of(prompt: &str) -> Vec<String> {
    let mut words = Vec::<String>::new();
    for word in prompt.split(|c: char| !c.is_alphanumeric()) {
        let word: String = word.to_lowercase().chars().take(24).collect();
        if word.chars().count() > 1 && !STOP_WORDS.contains(&word.as_str()) && !words.contains(&word) {
            words.push(word);
        }
        if words.len() == 64 {
            break;
        }
    }
    // Fewer would have to say the same word over and over.
    for filler in FILLERS {
        if words.len() < FILLERS.len() && !words.iter().any(|word| word == filler) {
            words.push((*filler).to_owned());
        }
    }
    words
}

/// The tokens before the first place where a stop sequence begins.
pub fn until_stop(tokens: Vec<String>, stops: &[String]) -> Vec<String> {
    let text = tokens.concat();
    let stops = stops.iter().filter(|stop| !stop.is_empty());
    let Some(end) = stops.filter_map(|stop| text.find(stop.as_str())).min() else { return tokens };
    let mut kept = Vec::new();
    let mut length = 0;
    for mut token in tokens {
        token.truncate(end - length);
        if token.is_empty() {
            break;
        }
        length += token.len();
        kept.push(token);
        if length == end {
            break;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROMPT: &str = "Tell me about a lighthouse keeper and the storm.";

    #[test]
    fn the_same_prompt_gives_the_same_text_and_another_prompt_another() {
        assert_eq!(text(PROMPT, 80), text(PROMPT, 80));
        assert_ne!(text(PROMPT, 80), text("A recipe for bread", 80));
    }

    #[test]
    fn a_text_is_marked_as_mock_and_made_of_the_words_of_its_prompt() {
        let text = text(PROMPT, 80).concat();
        assert!(text.starts_with("[mock] "), "{text}");
        for word in ["lighthouse", "keeper", "storm"] {
            assert!(text.contains(word), "{word} is missing in {text}");
        }
        assert!(!text.contains("tell"), "{text}");
    }

    #[test]
    fn a_text_is_never_longer_than_asked_and_ends_with_its_sentence() {
        for most in 0..200 {
            let tokens = text(PROMPT, most);
            assert!(tokens.len() <= most, "{} tokens for {most}", tokens.len());
            if most > 2 {
                assert!(tokens.len() + 2 >= most, "{} tokens are few for {most}", tokens.len());
                assert_eq!(tokens.last().unwrap(), ".", "{most}: {}", tokens.concat());
            }
        }
    }

    #[test]
    fn prompts_without_words_get_a_text_too() {
        for prompt in ["", "?!", "a", "日本語の灯台", "🌊"] {
            assert!(text(prompt, 20).len() > 15, "{prompt}");
        }
    }

    #[test]
    fn a_text_ends_before_the_first_stop_sequence() {
        let tokens = || ["one", " two", ",", " three", "."].map(String::from).to_vec();
        for (stops, kept, rule) in [
            (&[][..], "one two, three.", "without one it goes to its end"),
            (&["wo, t"][..], "one t", "it may begin and end inside tokens"),
            (&[" three", "one t"][..], "", "the first place counts, not the first in the list"),
            (&["four", ""][..], "one two, three.", "what does not occur, or is empty, stops nothing"),
            (&[","][..], "one two", "it is left out itself"),
        ] {
            let stops: Vec<_> = stops.iter().map(ToString::to_string).collect();
            let cut = until_stop(tokens(), &stops);
            assert_eq!(cut.concat(), kept, "{rule}");
            assert!(cut.iter().all(|token| !token.is_empty()), "{rule}: {cut:?}");
        }
    }
}
