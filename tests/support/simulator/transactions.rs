//! The transactions of a visit, as they are at one instant.

use super::campaign::Campaign;
use super::connections;
use super::document::{Entry, Fields, List, Transaction, Value};
use super::ids::{self, object_id};
use super::instant::{Instant, SECOND, zulu, zulu_short};
use super::random::{Dice, pair};
use super::values;
use super::visit::{FiredForm, Kind, Late, Planned, Visit};

/// A stage of the campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// Technical name.
    pub name: &'static str,
    /// What the per-stage keys of a contact are named after.
    pub key: &'static str,
    /// Title.
    pub title: &'static str,
}

/// Where contacts are created.
pub const ENTRANCE: Stage = Stage {
    name: "new_contact",
    key: "neu",
    title: "Neue Kontakte",
};

const STAGES: [Stage; 4] = [
    Stage {
        name: "fc_outbound",
        key: "outbound",
        title: "Erstanruf",
    },
    Stage {
        name: "qc_check",
        key: "check",
        title: "Prüfung",
    },
    Stage {
        name: "fc_süd",
        key: "süd",
        title: "Erstanruf Süd",
    },
    Stage {
        name: "anrufen_stufe",
        key: "anrufen",
        title: "Anrufen",
    },
];

const DETAILS: [(&str, &str); 8] = [
    ("success", "Termin vereinbart"),
    ("success", "Auftrag"),
    ("declined", "kein Interesse"),
    ("declined", "$do_not_call"),
    ("failed", "$wrong_number"),
    ("open", "$follow_up_auto"),
    ("open", "$follow_up_personal"),
    ("open", "$none"),
];

/// What does not change about a transaction, and what filters look at.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// `type`
    pub kind: Value,
    /// `isHI`
    pub human: Value,
    /// `user`
    pub user: Value,
    /// `task`
    pub task: Value,
    /// `status`
    pub status: &'static str,
    /// `status_detail`
    pub detail: Value,
}

impl Visit {
    /// The stage at which it happens.
    pub fn stage(&self) -> Stage {
        Dice::new(self.hash ^ 0x57a6e).pick(&STAGES)
    }

    /// The agent.
    pub fn agent(&self) -> String {
        object_id(pair(self.hash, 5) % 40)
    }

    /// Status and detail that its result leaves on the contact.
    pub fn result(&self) -> (&'static str, &'static str) {
        Dice::new(self.hash ^ 0xde7a).pick(&DETAILS)
    }

    /// The result transaction.
    pub fn outcome(&self) -> Option<&Planned> {
        self.transactions.iter().find(|t| t.kind == Kind::Outcome)
    }

    /// What does not change about one of its transactions.
    pub fn facts(&self, campaign: &Campaign, planned: &Planned) -> Facts {
        let mut dice = Dice::new(pair(self.hash, planned.kind as u64 + 100));
        let machine = Facts {
            kind: Value::fixed("update"),
            human: Value::Missing,
            user: Value::Missing,
            task: Value::fixed(self.stage().name),
            status: "open",
            detail: Value::fixed("$none"),
        };
        // What changes late has to be seen through every filter of the event list, hence is regular.
        let odd = campaign.config.oddities && self.late == Late::Nothing;
        let mut facts = match planned.kind {
            Kind::Import => Facts {
                task: Value::fixed(ENTRANCE.name),
                ..machine
            },
            Kind::Flow => machine,
            Kind::Assigned => Facts {
                user: Value::text(self.agent()),
                human: Value::Bool(false),
                detail: Value::fixed("$assigned"),
                ..machine
            },
            Kind::Dial => Facts {
                kind: Value::fixed("dial_result"),
                human: Value::Bool(false),
                ..machine
            },
            Kind::Outcome => {
                let (status, detail) = self.result();
                Facts {
                    user: Value::text(self.agent()),
                    human: Value::Bool(true),
                    status,
                    detail: Value::fixed(detail),
                    ..machine
                }
            }
        };
        if odd && planned.kind != Kind::Import {
            match dice.below(60) {
                0 => facts.kind = Value::Missing,
                1 => facts.kind = Value::Null,
                2 => facts.kind = Value::fixed("note"),
                3 => facts.detail = Value::Missing,
                4 => facts.detail = Value::Null,
                5 => facts.user = Value::Empty,
                6 => facts.user = Value::Null,
                7 => facts.task = Value::Missing,
                8 => facts.task = Value::Null,
                9 => facts.human = Value::Null,
                10 => facts.human = Value::Missing,
                11 => facts.human = Value::Bool(false),
                12 => facts.kind = Value::Empty,
                13 => facts.task = Value::Empty,
                _ => {}
            }
        }
        facts
    }

    /// The sequence number of one of its transactions; `ordinal` is the number of visits before.
    pub fn sequence(planned: &Planned, ordinal: usize) -> usize {
        ordinal * 4 + usize::from(planned.rank)
    }

    /// The task log entry of this visit; `None` while nothing of it can be seen.
    pub fn entry(&self, campaign: &Campaign, ordinal: usize, now: Instant) -> Option<Entry> {
        let transactions: Vec<Transaction> = self
            .transactions
            .iter()
            .filter(|planned| planned.visible <= now)
            .map(|planned| self.transaction(campaign, planned, ordinal, now))
            .collect();
        let last = self.transactions.iter().rev().find(|t| t.visible <= now)?;
        let stage = if last.kind == Kind::Import {
            ENTRANCE
        } else {
            self.stage()
        };
        let (status, detail) = self.result();
        let mut fields = Fields::default();
        fields.push("status", Value::fixed(status));
        fields.push("status_detail", Value::fixed(detail));
        fields.push("fired", Value::text(zulu(last.fired)));
        fields.push("campaign_id", Value::text(campaign.config.campaign.clone()));
        fields.push("task_id", Value::text(task_id(stage.name)));
        fields.push("task_name", Value::fixed(stage.name));
        fields.push("task_title", Value::fixed(stage.title));
        fields.push(
            "task_type",
            Value::fixed(if last.kind == Kind::Import {
                "CreateTask"
            } else {
                "OutboundTask"
            }),
        );
        fields.push("task_hi", Value::Bool(last.kind == Kind::Outcome));
        Some(Entry {
            fields,
            transactions: List::of(transactions),
        })
    }

    fn transaction(
        &self,
        campaign: &Campaign,
        planned: &Planned,
        ordinal: usize,
        now: Instant,
    ) -> Transaction {
        let config = &campaign.config;
        let facts = self.facts(campaign, planned);
        let mut dice = Dice::new(pair(self.hash, planned.kind as u64 + 200));
        let contact = campaign.id(self.contact);
        let sequence = Self::sequence(planned, ordinal);
        let human = matches!(planned.kind, Kind::Outcome | Kind::Assigned);
        let odd = config.oddities && dice.one_in(10);
        let mut f = Fields(Vec::with_capacity(40));
        f.push("type", facts.kind);
        f.push(
            "task_id",
            Value::text(task_id(match planned.kind {
                Kind::Import => ENTRANCE.name,
                _ => self.stage().name,
            })),
        );
        f.push("task", facts.task);
        if odd && dice.one_in(4) {
            f.push("status", Value::fixed("doppelt, zählt nicht"));
        }
        f.push("status", Value::fixed(facts.status));
        f.push("status_detail", facts.detail);
        let number = sequence.to_string().parse().unwrap();
        let other = config.readings.fired.text(planned.fired, number);
        f.push(
            "fired",
            match planned.form {
                FiredForm::Full | FiredForm::Short if other.is_some() => {
                    Value::text(other.unwrap_or_default())
                }
                FiredForm::Full => Value::text(zulu(planned.fired)),
                FiredForm::Short => Value::text(zulu_short(planned.fired)),
                FiredForm::Missing => Value::Missing,
                FiredForm::Null => Value::Null,
                FiredForm::Number => Value::number(planned.fired),
            },
        );
        f.push("trigger", Value::fixed("other"));
        f.push("id", Value::text(contact));
        if planned.kind != Kind::Import {
            f.push(
                "actor",
                if human {
                    Value::text(self.agent())
                } else {
                    Value::fixed("dialer")
                },
            );
            f.push("user", facts.user);
        }
        if human {
            let login = if config.oddities && dice.one_in(10) {
                Value::text(ids::checksum(self.hash, 3))
            } else {
                Value::text(format!("agent.{:02}", pair(self.hash, 5) % 40))
            };
            f.push("user_loginName", login);
            f.push(
                "user_branch",
                if odd {
                    Value::Empty
                } else {
                    Value::fixed("Zentrale")
                },
            );
            f.push("user_tenantAlias", Value::fixed("demo"));
        }
        f.push("isHI", facts.human);
        let step = self.step(now);
        if planned.kind == Kind::Outcome {
            let revoked = match self.late {
                Late::Revoked => step >= 1,
                Late::Legs => step >= 3,
                _ => dice.one_in(30),
            };
            // Each step has to draw the same choices, else what follows would change with it.
            let not_said =
                [Value::Null, Value::Missing, Value::Empty][dice.below(3) as usize].clone();
            f.push(
                "revoked",
                if odd && !revoked {
                    not_said
                } else {
                    Value::Bool(revoked)
                },
            );
            let mut pause = values::seconds(config, &mut dice, 60);
            let edit = values::seconds(config, &mut dice, 900);
            let mut wrapup = values::seconds(config, &mut dice, 120);
            if self.late == Late::Times && step < 1 {
                (pause, wrapup) = (Value::token("0"), Value::Empty);
            } else if self.late == Late::Times {
                wrapup = Value::number(1 + self.hash % 90);
            }
            f.push("pause_time_sec", pause);
            f.push("edit_time_sec", edit);
            f.push("wrapup_time_sec", wrapup);
            if !dice.one_in(10) {
                f.push("wait_time_sec", values::seconds(config, &mut dice, 300));
            }
        }
        if matches!(planned.kind, Kind::Outcome | Kind::Dial) {
            f.push("dialergroup", Value::fixed("default"));
            f.push("dialerdomain", Value::fixed("dialer1.example.invalid"));
            f.push("clientaddress", Value::fixed("192.0.2.10"));
            f.push("started", Value::text(zulu(planned.fired - 70 * SECOND)));
            f.push(
                "disconnected",
                Value::text(zulu(planned.fired - 4 * SECOND)),
            );
            f.push("technology", Value::fixed("sip"));
            f.push(
                "result",
                Value::fixed(dice.pick(&["connect", "connect", "busy", "no_answer", ""])),
            );
        }
        f.push("sequence_nr", Value::number(sequence));
        f.push("next_sequence_nr", Value::number(sequence + 1));
        f.push(
            "version",
            Value::text(object_id(pair(self.hash, sequence as u64))),
        );
        f.push(
            "data",
            Value::fixed_json(if planned.kind == Kind::Outcome {
                "{\"Interesse\":\"ja\",\"Bemerkung_intern\":\"Zeile eins\\nZeile zwei – äöü 🙂\"}"
            } else {
                "{}"
            }),
        );
        f.push("timezone", Value::fixed("Europe/Berlin"));
        f.push(
            "created_date",
            Value::text(zulu(campaign.created(self.contact))),
        );
        Transaction {
            fields: f,
            connections: connections::of(self, campaign, planned, &mut dice, step),
        }
    }
}

/// The id of a stage.
pub fn task_id(name: &str) -> String {
    object_id(name.bytes().fold(9, |hash, b| pair(hash, u64::from(b))))
}
