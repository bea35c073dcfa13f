//! What a misspelt word was meant to be.

/// The longest word that is compared, in characters: longer ones are no misspelt key.
const MAX_WORD: usize = 32;

/// The known word nearest to `word`, if it is near enough to be meant.
pub(crate) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    let word: Vec<char> = word
        .chars()
        .flat_map(char::to_lowercase)
        .take(MAX_WORD + 1)
        .collect();
    if word.len() > MAX_WORD {
        return None;
    }
    // A third of the letters may be wrong, and never more than three.
    let reach = (word.len() / 3).clamp(1, 3);
    known
        .iter()
        .map(|candidate| {
            (
                distance(&word, &candidate.chars().collect::<Vec<_>>()),
                *candidate,
            )
        })
        .filter(|(distance, _)| *distance <= reach)
        .min()
        .map(|(_, candidate)| candidate)
}

/// Letters to insert, remove, replace or swap with a neighbour (optimal string alignment).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut two_back: Vec<usize> = Vec::new();
    let mut back: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replace = back[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replace.min(back[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(two_back[j - 2] + 1);
            }
            row.push(least);
        }
        two_back = std::mem::replace(&mut back, row);
    }
    back[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 5] = ["name", "sign-out", "actors", "data", "identities"];

    #[test]
    fn slips_are_recognised() {
        for (slip, meant) in [
            ("sign_out", "sign-out"),
            ("signout", "sign-out"),
            ("Sign-Out", "sign-out"),
            ("actor", "actors"),
            ("identites", "identities"),
            ("dtaa", "data"),
            ("nmae", "name"),
        ] {
            assert_eq!(nearest(slip, &KEYS), Some(meant), "{slip}");
        }
    }

    #[test]
    fn other_words_are_not() {
        for word in ["", "x", "sync", "expires", "provider-kind"] {
            assert_eq!(nearest(word, &KEYS), None, "{word}");
        }
        assert_eq!(nearest(&"a".repeat(60_000), &KEYS), None);
    }
}
