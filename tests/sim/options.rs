//! What is asked for on the command line.

/// A run, or many.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The seed of the run, or of the first of many.
    pub(crate) seed: u64,
    /// How many members.
    pub(crate) members: usize,
    /// How many simulated hours.
    pub(crate) hours: f64,
    /// Whether each thing that happens is printed.
    pub(crate) trace: bool,
    /// How many runs, with seeds that follow each other.
    pub(crate) runs: u64,
    /// Go on with new seeds for so many seconds.
    pub(crate) seconds: Option<u64>,
    /// The only planted bug that is looked for.
    pub(crate) bug: Option<String>,
    /// What to do.
    pub(crate) task: Task,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    /// Runs.
    Run,
    /// Look whether each planted bug is found where it is said to be.
    Planted,
    /// Look where each planted bug is found.
    Search,
    /// Tell how cost grows with the cluster.
    Scale,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 1,
            members: 0,
            hours: 1.0,
            trace: false,
            runs: 1,
            seconds: None,
            bug: None,
            task: Task::Run,
        }
    }
}

/// How many members a run has that was not told: each number from 3 to 16, small ones more often,
/// as clusters are, and since each member costs time.
const MEMBERS: [usize; 20] = [
    3, 4, 5, 6, 7, 3, 4, 5, 8, 3, 9, 5, 16, 3, 10, 7, 11, 14, 12, 15,
];

/// How it is to be used.
pub(crate) const USAGE: &str = "\
cargo sim [--seed N] [--members M] [--hours H] [--trace]
          [--runs R | --seconds S]    many runs, with the seeds N, N+1, ...
          [--planted]                 whether each planted bug is caught, as the table says
          [--planted --search]        where it is caught: lines for the table (by default runs of
                                      several shapes are tried, else --members and --hours)
          [--bug NAME]                only this planted bug
          [--scale]                   how cost grows with the cluster
Repeats a simulated run, or makes many. Without --members each run has its own number, 3 to 16.";

impl Options {
    /// Reads the arguments.
    ///
    /// # Errors
    /// A line that says what is wrong.
    pub(crate) fn read(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
            match argument.as_str() {
                "--seed" => options.seed = number(value()?)?,
                "--members" => options.members = number(value()?)?,
                "--hours" => options.hours = number(value()?)?,
                "--runs" => options.runs = number(value()?)?,
                "--seconds" => options.seconds = Some(number(value()?)?),
                "--trace" => options.trace = true,
                "--planted" if options.task == Task::Search => {}
                "--planted" => options.task = Task::Planted,
                "--search" => options.task = Task::Search,
                "--bug" => options.bug = Some(value()?.clone()),
                "--scale" => options.task = Task::Scale,
                other => return Err(format!("unknown argument {other}\n{USAGE}")),
            }
        }
        Ok(options)
    }

    /// These options for one run with this seed.
    pub(crate) fn of_run(&self, seed: u64) -> Self {
        let members = match self.members {
            0 => {
                let kinds = u64::try_from(MEMBERS.len()).unwrap_or(1);
                MEMBERS[usize::try_from(seed % kinds).unwrap_or(0)]
            }
            given => given,
        };
        Self {
            seed,
            members,
            ..self.clone()
        }
    }

    /// The command that repeats a run.
    pub(crate) fn command(&self) -> String {
        let Self {
            seed,
            members,
            hours,
            ..
        } = self;
        format!("cargo sim --seed {seed} --members {members} --hours {hours}")
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("{text} is no number that fits here"))
}
