//! `context.scan`: all keys, all paths, and the text.

use std::collections::BTreeSet;

use cedar_policy::RestrictedExpression;
use lockgate_mcp::tree::Tree;

use super::{Arguments, misfit::Misfit, path};

/// Most bytes that the paths of one call may have together. A path repeats the names above it, so that a message of
/// megabytes could ask for gigabytes; ordinary arguments need some hundred bytes.
pub const SCAN_BYTES_MAX: usize = 1 << 20;

/// `context.scan`. Everything in it is lower-case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The name of every member at any depth.
    pub keys: BTreeSet<String>,
    /// Every member by its dotted path, like `customer.ssn`; the steps through arrays are left out. A name with a dot or
    /// a backslash in it stands here twice: as it is, so that whatever looks for `a.b` finds it, and as `a\.b`, so that it
    /// is told from `b` in `a`.
    pub paths: BTreeSet<String>,
    /// The canonical JSON of all arguments ([`lockgate_mcp::canonical`]).
    pub text: String,
}

impl Arguments<'_> {
    /// What policies can look through without knowing where.
    ///
    /// # Errors
    /// [`Misfit::TooManyNames`] beyond [`SCAN_BYTES_MAX`].
    pub fn scan(&self) -> Result<Scan, Misfit> {
        let mut scan = Scan::default();
        let mut left = SCAN_BYTES_MAX;
        collect(&self.tree, &Way::default(), &mut scan, &mut left)?;
        scan.text = self.canonical().to_lowercase();
        Ok(scan)
    }
}

impl Scan {
    /// The record that `context.scan` is in the schema.
    pub fn to_record(&self) -> RestrictedExpression {
        let set = |texts: &BTreeSet<String>| {
            RestrictedExpression::new_set(texts.iter().cloned().map(RestrictedExpression::new_string))
        };
        RestrictedExpression::new_record([
            ("keys".to_owned(), set(&self.keys)),
            ("paths".to_owned(), set(&self.paths)),
            ("text".to_owned(), RestrictedExpression::new_string(self.text.clone())),
        ])
        .expect("the three names differ")
    }
}

/// The way to a member, as it is and with the dots in names told apart.
#[derive(Default)]
struct Way {
    plain: String,
    exact: String,
}

impl Way {
    fn to(&self, key: &str) -> Self {
        let below = |above: &str, step: &str| match above {
            "" => step.to_owned(),
            above => format!("{above}.{step}"),
        };
        Way { plain: below(&self.plain, key), exact: below(&self.exact, &path::step(key)) }
    }
}

fn collect(tree: &Tree<'_>, above: &Way, scan: &mut Scan, left: &mut usize) -> Result<(), Misfit> {
    for item in tree.items() {
        collect(item, above, scan, left)?;
    }
    for (name, value) in tree.members() {
        let key = name.to_lowercase();
        let way = above.to(&key);
        let twice = way.exact != way.plain;
        let bytes = key.len() + way.plain.len() + if twice { way.exact.len() } else { 0 };
        *left = left.checked_sub(bytes).ok_or(Misfit::TooManyNames)?;
        collect(value, &way, scan, left)?;
        scan.keys.insert(key);
        if twice {
            scan.paths.insert(way.exact);
        }
        scan.paths.insert(way.plain);
    }
    Ok(())
}
