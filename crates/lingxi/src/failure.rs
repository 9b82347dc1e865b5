//! Whose turn is it when something fails?
//!
//! An error comes in; out go the lines that `main` prints and the exit code: 2 when the person at the keyboard can put
//! it right (a wrong path, a bad file, no network), 1 when the program is at fault. A [`UserError`] carries the next
//! step to try, and so do the errors of the rooms that read what people write.

use std::error::Error;
use std::fmt;

use lingxi_behaviour::error::BehaviourError;
use lingxi_content::ContentError;
use lingxi_data::DataError;
use lingxi_decide::DecideError;
use lingxi_train::TrainError;

use crate::assets::AssetError;
use crate::store::StoreError;

/// An error that the person can put right, with the step to try next.
#[derive(Debug)]
pub struct UserError {
    message: String,
    remedy: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl UserError {
    /// `message` says what was expected and what came, `remedy` what to type or change.
    pub fn new(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { message: message.into(), remedy: remedy.into(), source: None }
    }

    /// Keeps the error that was the cause.
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for UserError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for UserError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| source.as_ref() as &(dyn Error + 'static))
    }
}

/// Whether an exit is worth words, and which code it has.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Lines for stderr; empty when the reader has left (a closed pipe).
    pub lines: Vec<String>,
    /// 0 closed pipe, 1 internal error, 2 user error.
    pub code: u8,
}

/// Judges an error by the first link of its chain that says whose turn it is.
pub fn judge(error: &anyhow::Error) -> Verdict {
    if error.chain().any(is_closed_pipe) {
        return Verdict { lines: Vec::new(), code: 0 };
    }
    let remedy = error.chain().find_map(remedy);
    let mut lines = vec![format!("error: {error}")];
    let mut said = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        // Some libraries print their cause inside their own message; once is enough.
        if !said.contains(&cause) {
            lines.push(format!("  because: {cause}"));
            said.push_str(&cause);
        }
    }
    match &remedy {
        Some(remedy) if remedy.is_empty() => {}
        Some(remedy) => lines.push(format!("  try: {remedy}")),
        None => lines.push("  try: run again with RUST_LOG=debug and report this, it is a fault of the program".into()),
    }
    Verdict { lines, code: if remedy.is_some() { 2 } else { 1 } }
}

/// The next step, for errors that a person can put right; empty when the message ends with it.
fn remedy(link: &(dyn Error + 'static)) -> Option<String> {
    if let Some(user) = link.downcast_ref::<UserError>() {
        return Some(user.remedy.clone());
    }
    if let Some(assets) = link.downcast_ref::<AssetError>() {
        return assets.remedy();
    }
    if let Some(data) = link.downcast_ref::<DataError>() {
        return data_remedy(data);
    }
    match link.downcast_ref::<ContentError>() {
        Some(ContentError::Data(data)) => return data_remedy(data),
        Some(_) => return in_message(),
        None => {}
    }
    match link.downcast_ref::<TrainError>() {
        Some(TrainError::Checkpoint(data)) => return data_remedy(data),
        Some(_) => return in_message(),
        None => {}
    }
    match link.downcast_ref::<BehaviourError>() {
        Some(BehaviourError::Data(data) | BehaviourError::Train(TrainError::Checkpoint(data))) => {
            return data_remedy(data);
        }
        Some(BehaviourError::Train(_)) => return in_message(),
        Some(BehaviourError::Config { .. } | BehaviourError::Numeric { .. }) => return in_message(),
        Some(BehaviourError::Input { .. }) | None => {}
    }
    match link.downcast_ref::<DecideError>() {
        Some(DecideError::Data(data)) => return data_remedy(data),
        Some(_) => return in_message(),
        None => {}
    }
    link.downcast_ref::<StoreError>().and_then(|_| in_message())
}

fn data_remedy(error: &DataError) -> Option<String> {
    match error {
        DataError::Input(_) => in_message(),
        DataError::Artefact { path, .. } => {
            let dir = path.parent().unwrap_or(path);
            Some(format!("check that {} can be written and has space; if it was spoilt, remove it", dir.display()))
        }
        // Ids and shapes are our own affair.
        _ => None,
    }
}

fn in_message() -> Option<String> {
    Some(String::new())
}

fn is_closed_pipe(link: &(dyn Error + 'static)) -> bool {
    link.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn a_user_error_exits_with_two_and_says_what_to_try() {
        let cause = std::io::Error::other("no such file");
        let error = UserError::new("cannot read recipe shop.toml", "lingxi ingest --recipe recipes/grocery.toml");
        let verdict = judge(&anyhow::Error::new(error.because(cause)).context("ingest"));
        assert_eq!(verdict.code, 2);
        assert_eq!(
            verdict.lines,
            [
                "error: ingest",
                "  because: cannot read recipe shop.toml",
                "  because: no such file",
                "  try: lingxi ingest --recipe recipes/grocery.toml"
            ]
        );
    }

    #[test]
    fn a_file_that_cannot_be_used_is_the_persons_turn_and_a_wrong_id_is_ours() {
        let input = lingxi_data::InputError::new("log.csv", "a column for user", "id, at", "name it in columns.user");
        let verdict = judge(&DataError::from(input.at(1)).into());
        assert_eq!(verdict.code, 2);
        assert_eq!(
            verdict.lines,
            ["error: log.csv:1: expected a column for user, got id, at; name it in columns.user"]
        );
        let id = DataError::IdOutOfRange { what: "item", row: 0, id: 9, limit: 3 };
        assert_eq!(judge(&id.into()).code, 1);
    }

    #[test]
    fn any_other_error_exits_with_one() {
        let verdict = judge(&anyhow::anyhow!("row sums differ"));
        assert_eq!(verdict.code, 1);
        assert!(verdict.lines[1].contains("fault of the program"));
    }

    #[test]
    fn a_closed_pipe_is_no_error() {
        let pipe = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        let error = Err::<(), _>(pipe).context("print the table").unwrap_err();
        assert_eq!(judge(&error), Verdict { lines: Vec::new(), code: 0 });
    }

    #[test]
    fn a_cause_already_in_the_message_is_not_repeated() {
        let error = UserError::new("bad line 3: expected a number", "fix line 3").because("expected a number");
        assert_eq!(judge(&error.into()).lines, ["error: bad line 3: expected a number", "  try: fix line 3"]);
    }
}
