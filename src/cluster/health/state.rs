//! PURE. Is a node up? One small state machine a node, fed by probes, workers and the supervisor.

/// Where a node stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NodeStanding {
    /// Never heard of yet.
    #[default]
    New,
    Up,
    Down(PassedOver),
}

/// Why a node is passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PassedOver {
    /// Nothing listens there, or the process is dead: certain.
    Refused,
    /// No answer in time: a suspicion, since it may be the machine that is slow.
    Silent,
}

/// What was learnt of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A probe was answered by the process with this boot id.
    Answered {
        boot: u64,
        /// What it holds: another number when that is not what an earlier process held. 0: it does not know yet.
        memory: u64,
    },
    /// A connection was refused, or the process died.
    Refused,
    /// A probe has no answer, although its time is over; `whole`: once more the time of a probe has passed.
    Silent { whole: bool },
    /// The node has promised to validate whatever it holds, or was told what it had missed.
    Revalidated {
        /// Also what it may have on a disk when another process takes its place.
        kept: bool,
    },
    /// It refused to.
    NotRevalidated,
    /// It was not told of an invalidation or a purge. It stays as up as it was: whoever routes asks it last, and for
    /// nothing that it holds ([`crate::cluster::views::Node::is_doubtful`]), until it has promised to validate.
    Missed {
        /// Of what is remembered, with all else that it has missed.
        listed: bool,
    },
    /// It was told of one, and has heeded it, but could not write that down for who takes its place.
    Unkept,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Nothing,
    PutUp,
    PassOver(PassedOver),
    /// Send `POST /revalidate` and report how that went.
    Revalidate,
    /// Send what it has missed, and report how that went.
    CatchUp,
}

impl Action {
    /// Whether the node is told something, and what came of it reported.
    pub fn tells(self) -> bool {
        matches!(self, Action::Revalidate | Action::CatchUp)
    }
}

/// What a process has to be told before it is asked for anything that it holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Debt {
    #[default]
    Nothing,
    /// What the process before it missed, which is remembered.
    News,
    /// To validate all.
    Validation,
}

/// So many whole probes in a row without an answer are no suspicion any more, however many nodes are silent.
const CERTAIN: u8 = 6;

/// How many nodes may be passed over at once on suspicion, which silence is, and slowness: when more are silent or slow,
/// it is rather this machine.
pub fn suspects_at_most(nodes: usize) -> usize {
    (nodes / 3).max(1)
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HealthVerdict {
    pub standing: NodeStanding,
    /// Of the process that was last heard of.
    boot: u64,
    /// And what it holds, where that is known.
    memory: u64,
    /// That process may hold what has been invalidated meanwhile. One that was asked while others stood in for it, or was
    /// absent, may hold also what these have renewed.
    owed: Debt,
    /// What it holds, in whatever process, missed something.
    missed: Debt,
    /// That process was never asked for anything: what it holds comes from disk, and of that it asks by itself who stood in.
    is_fresh: bool,
    /// What it may have on a disk missed something, and the process that promised could not write that down.
    unkept: bool,
    /// Whole probes without an answer since the last one that had one.
    unanswered: u8,
}

impl HealthVerdict {
    /// What is held under this number missed something, before or after it was last heard of.
    pub fn owe(&mut self, memory: u64) {
        if memory != 0 {
            self.memory = memory;
        }
        (self.owed, self.missed) = (Debt::Validation, Debt::Validation);
    }

    /// 0: not known.
    pub fn memory(&self) -> u64 {
        self.memory
    }

    pub fn boot(&self) -> u64 {
        self.boot
    }

    pub fn is_silent(&self) -> bool {
        self.standing == NodeStanding::Down(PassedOver::Silent)
    }

    /// `may_suspect`: there is room for one more silent node.
    pub fn on(&mut self, event: Event, may_suspect: bool) -> Action {
        match event {
            Event::Answered { boot, memory } => self.answered(boot, memory),
            Event::Revalidated { kept } => {
                self.unkept = !kept;
                self.put_up_or_revalidate()
            }
            Event::NotRevalidated => {
                (self.owed, self.missed) = (Debt::Validation, Debt::Validation);
                Action::Nothing
            }
            Event::Missed { listed } => {
                let news = if listed { Debt::News } else { Debt::Validation };
                self.missed = self.missed.max(news);
                self.owed = self.owed.max(if self.is_fresh { news } else { Debt::Validation });
                Action::Nothing
            }
            Event::Unkept => {
                self.unkept = true;
                Action::Nothing
            }
            Event::Refused => self.pass_over(PassedOver::Refused),
            Event::Silent { whole } => self.silent(whole, may_suspect),
        }
    }

    fn silent(&mut self, whole: bool, may_suspect: bool) -> Action {
        self.unanswered = self.unanswered.saturating_add(u8::from(whole));
        match self.standing {
            NodeStanding::Up if may_suspect || self.unanswered >= CERTAIN => self.pass_over(PassedOver::Silent),
            _ => Action::Nothing,
        }
    }

    fn answered(&mut self, boot: u64, memory: u64) -> Action {
        self.unanswered = 0;
        // A new process has an empty cache, or what one before it had on disk; of that it asks by itself who stood in for it.
        if boot != self.boot {
            self.boot = boot;
            self.is_fresh = true;
            // One that has not said what it holds may have held what the next one does.
            if memory != 0 && self.memory != 0 && memory != self.memory {
                self.missed = Debt::Nothing;
            }
            self.memory = memory;
            self.owed = if self.unkept { Debt::Validation } else { self.missed };
        }
        if memory != 0 {
            self.memory = memory;
        }
        self.put_up_or_revalidate()
    }

    fn put_up_or_revalidate(&mut self) -> Action {
        // Paid in advance: what it misses while it is being told counts anew.
        self.missed = Debt::Nothing;
        match std::mem::take(&mut self.owed) {
            Debt::Nothing => self.put_up(),
            Debt::News => Action::CatchUp,
            Debt::Validation => Action::Revalidate,
        }
    }

    fn put_up(&mut self) -> Action {
        self.is_fresh = false;
        match std::mem::replace(&mut self.standing, NodeStanding::Up) {
            NodeStanding::Up => Action::Nothing,
            NodeStanding::New | NodeStanding::Down(_) => Action::PutUp,
        }
    }

    fn pass_over(&mut self, why: PassedOver) -> Action {
        match std::mem::replace(&mut self.standing, NodeStanding::Down(why)) {
            NodeStanding::Up => {
                self.owed = Debt::Validation;
                Action::PassOver(why)
            }
            NodeStanding::New => {
                self.standing = NodeStanding::New;
                Action::Nothing
            }
            NodeStanding::Down(_) => Action::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Action::*;
    use Event::*;

    const A: Event = Answered { boot: 1, memory: 1 };
    const B: Event = Answered { boot: 2, memory: 2 };
    /// The same disk in one process after the other, and in one that has not read it yet.
    const D1: Event = Answered { boot: 1, memory: 9 };
    const D2: Event = Answered { boot: 2, memory: 9 };
    const D2_READS: Event = Answered { boot: 2, memory: 0 };
    const REVALIDATED: Event = Revalidated { kept: true };
    const IN_MEMORY: Event = Revalidated { kept: false };
    const SILENT: Event = Silent { whole: true };
    const MISSED: Event = Missed { listed: false };
    const LISTED: Event = Missed { listed: true };

    #[test]
    fn a_node_goes_up_and_down_by_what_is_learnt_of_it() {
        let cases: &[(&str, &[(Event, Action)])] = &[
            ("first answer", &[(A, PutUp), (A, Nothing)]),
            ("not there yet", &[(Refused, Nothing), (SILENT, Nothing), (A, PutUp)]),
            (
                "silent and back",
                &[(A, PutUp), (SILENT, PassOver(PassedOver::Silent)), (A, Revalidate), (REVALIDATED, PutUp)],
            ),
            ("still silent", &[(A, PutUp), (SILENT, PassOver(PassedOver::Silent)), (SILENT, Nothing)]),
            ("dead and born again", &[(A, PutUp), (Refused, PassOver(PassedOver::Refused)), (B, PutUp)]),
            ("born again unseen", &[(A, PutUp), (B, Nothing)]),
            (
                "revalidation fails",
                &[
                    (A, PutUp),
                    (Refused, PassOver(PassedOver::Refused)),
                    (A, Revalidate),
                    (NotRevalidated, Nothing),
                    (A, Revalidate),
                    (REVALIDATED, PutUp),
                ],
            ),
            (
                "silent, then dead",
                &[
                    (A, PutUp),
                    (SILENT, PassOver(PassedOver::Silent)),
                    (Refused, Nothing),
                    (SILENT, Nothing),
                    (B, PutUp),
                ],
            ),
            (
                "missed a purge while up",
                &[(A, PutUp), (MISSED, Nothing), (A, Revalidate), (REVALIDATED, Nothing), (A, Nothing)],
            ),
            (
                "missed a purge while it was told to revalidate",
                &[
                    (A, PutUp),
                    (Refused, PassOver(PassedOver::Refused)),
                    (A, Revalidate),
                    (MISSED, Nothing),
                    (REVALIDATED, Revalidate),
                    (REVALIDATED, PutUp),
                ],
            ),
            ("missed a purge and died", &[(A, PutUp), (MISSED, Nothing), (B, Nothing)]),
            ("born again with its disk", &[(D1, PutUp), (Refused, PassOver(PassedOver::Refused)), (D2, PutUp)]),
            (
                "missed a purge and was born again with its disk",
                &[
                    (D1, PutUp),
                    (MISSED, Nothing),
                    (Refused, PassOver(PassedOver::Refused)),
                    (D2, Revalidate),
                    (REVALIDATED, PutUp),
                ],
            ),
            (
                "missed what is remembered and was born again with its disk",
                &[
                    (D1, PutUp),
                    (LISTED, Nothing),
                    (Refused, PassOver(PassedOver::Refused)),
                    (LISTED, Nothing),
                    (D2_READS, CatchUp),
                    (LISTED, Nothing),
                    (REVALIDATED, CatchUp),
                    (REVALIDATED, PutUp),
                    (D2, Nothing),
                ],
            ),
            (
                "missed more than is remembered and was born again with its disk",
                &[
                    (D1, PutUp),
                    (Refused, PassOver(PassedOver::Refused)),
                    (LISTED, Nothing),
                    (MISSED, Nothing),
                    (D2, Revalidate),
                    (REVALIDATED, PutUp),
                ],
            ),
            (
                "missed what is remembered and is the same process: others have stood in for it",
                &[
                    (D1, PutUp),
                    (LISTED, Nothing),
                    (D1, Revalidate),
                    (REVALIDATED, Nothing),
                    (SILENT, PassOver(PassedOver::Silent)),
                    (LISTED, Nothing),
                    (D1, Revalidate),
                    (REVALIDATED, PutUp),
                ],
            ),
            (
                "could not be told what it had missed",
                &[
                    (D1, PutUp),
                    (Refused, PassOver(PassedOver::Refused)),
                    (LISTED, Nothing),
                    (D2, CatchUp),
                    (NotRevalidated, Nothing),
                    (Answered { boot: 3, memory: 9 }, Revalidate),
                    (REVALIDATED, PutUp),
                ],
            ),
            (
                "heeded a purge, could not write that down, and died",
                &[
                    (D1, PutUp),
                    (Unkept, Nothing),
                    (D1, Nothing),
                    (Refused, PassOver(PassedOver::Refused)),
                    (D2, Revalidate),
                    (REVALIDATED, PutUp),
                ],
            ),
            (
                "missed what is remembered and was born again with another disk",
                &[(D1, PutUp), (Refused, PassOver(PassedOver::Refused)), (LISTED, Nothing), (B, PutUp)],
            ),
            (
                "missed a purge, could not write that to its disk, and died",
                &[
                    (Answered { boot: 1, memory: 0 }, PutUp),
                    (MISSED, Nothing),
                    (Answered { boot: 1, memory: 0 }, Revalidate),
                    (IN_MEMORY, Nothing),
                    (Answered { boot: 1, memory: 0 }, Nothing),
                    (Refused, PassOver(PassedOver::Refused)),
                    (D2, Revalidate),
                    (IN_MEMORY, PutUp),
                    (Answered { boot: 3, memory: 9 }, Revalidate),
                    (REVALIDATED, Nothing),
                    (Answered { boot: 4, memory: 9 }, Nothing),
                ],
            ),
            (
                "missed a purge while it was dead",
                &[
                    (D1, PutUp),
                    (Refused, PassOver(PassedOver::Refused)),
                    (MISSED, Nothing),
                    (D2_READS, Revalidate),
                    (NotRevalidated, Nothing),
                    (D2, Revalidate),
                    (REVALIDATED, PutUp),
                    (D2, Nothing),
                ],
            ),
        ];
        for (name, steps) in cases {
            let mut verdict = HealthVerdict::default();
            for (i, (event, expected)) in steps.iter().enumerate() {
                assert_eq!(verdict.on(*event, true), *expected, "{name}, step {i}: {event:?}");
            }
        }
    }

    #[test]
    fn silence_alone_takes_no_node_out_when_too_many_are_silent() {
        let mut verdict = HealthVerdict::default();
        verdict.on(A, true);
        assert_eq!(verdict.on(SILENT, false), Nothing);
        assert_eq!(verdict.standing, NodeStanding::Up);
        assert_eq!(verdict.on(Refused, false), PassOver(PassedOver::Refused), "a refusal is certain");
        assert!(!verdict.is_silent(), "and takes no room among the silent ones");
    }

    #[test]
    fn six_whole_probes_without_an_answer_are_certain_however_many_are_silent() {
        let mut verdict = HealthVerdict::default();
        verdict.on(A, true);
        for probe in 1..=CERTAIN {
            // Within a probe it is looked every now and then whether there is room by now.
            for _ in 0..11 {
                assert_eq!(verdict.on(Silent { whole: false }, false), Nothing, "probe {probe}");
            }
            let expected = if probe < CERTAIN { Nothing } else { PassOver(PassedOver::Silent) };
            assert_eq!(verdict.on(SILENT, false), expected, "probe {probe}");
        }
        assert_eq!(verdict.on(A, false), Revalidate);
    }

    #[test]
    fn a_silent_node_is_passed_over_as_soon_as_there_is_room() {
        let mut verdict = HealthVerdict::default();
        verdict.on(A, true);
        assert_eq!(verdict.on(SILENT, false), Nothing);
        assert_eq!(verdict.on(Silent { whole: false }, true), PassOver(PassedOver::Silent));
    }

    #[test]
    fn a_third_of_the_nodes_may_be_silent_and_always_one() {
        for (nodes, expected) in [(0, 1), (1, 1), (2, 1), (3, 1), (5, 1), (6, 2), (9, 3), (16, 5)] {
            assert_eq!(suspects_at_most(nodes), expected, "{nodes} nodes");
        }
    }

    #[test]
    fn a_process_that_was_taken_out_and_put_back_validates_what_it_held() {
        let owing = || {
            let mut verdict = HealthVerdict::default();
            verdict.owe(1);
            verdict
        };
        assert_eq!(owing().on(A, true), Revalidate);
        assert_eq!(owing().on(B, true), PutUp);
    }
}
