//! Reading a transaction from JSON, strictly: each test and each operation has its members, no
//! other ones, each of them once. What is wrong is told with its place.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::api::json::{self, Given, given};
use crate::api::media;
use crate::api::problem::{Code, Problem};
use crate::config::duration;
use crate::model::{KeyName, NameError, NodeName, TEXT, Value};
use crate::strong::{
    Condition, CounterName, CounterOp, Fence, Json, KeyTest, LogName, LogOp, Measure, Millis,
    NodeOp, Op, Refused, Relation, Retention, TXN_LIMIT, Test, Txn,
};

/// Reads `{"if":[…],"then":[…],"else":[…]}`; each may be left out.
pub(super) fn txn(body: &[u8]) -> Result<Txn, Problem> {
    let text = std::str::from_utf8(body);
    let text = text.map_err(|_| invalid("the body is no UTF-8".to_owned()))?;
    let mut all = Members::of(text, "the transaction".to_owned())?;
    let txn = Txn {
        tests: list(&mut all, "if", test)?,
        then: list(&mut all, "then", op)?,
        otherwise: list(&mut all, "else", op)?,
    };
    all.end()?;
    Ok(txn)
}

fn list<T>(
    all: &mut Members<'_>,
    name: &'static str,
    read: impl Fn(Members<'_>) -> Result<T, Problem>,
) -> Result<Vec<T>, Problem> {
    let List { first, size } = all.maybe(name)?.unwrap_or_default();
    if size > TXN_LIMIT {
        return Err(Problem::from(Refused::OverLimit {
            what: Measure::Operations,
            size: size as u64,
            limit: TXN_LIMIT as u64,
        }));
    }
    let one = |(index, raw): (usize, &RawValue)| {
        read(Members::of(raw.get(), format!("{name}[{index}]"))?)
    };
    first.into_iter().enumerate().map(one).collect()
}

/// The first elements of a list, as many as there may be, and how many there are.
#[derive(Default)]
struct List<'a> {
    first: Vec<&'a RawValue>,
    size: usize,
}

impl<'de> Deserialize<'de> for List<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Elements;
        impl<'de> Visitor<'de> for Elements {
            type Value = List<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List<'de>, A::Error> {
                let mut list = List::default();
                while list.size < TXN_LIMIT {
                    let Some(element) = seq.next_element()? else {
                        return Ok(list);
                    };
                    list.first.push(element);
                    list.size += 1;
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    list.size += 1;
                }
                Ok(list)
            }
        }
        from.deserialize_seq(Elements)
    }
}

/// The members of an object, which are taken out one by one until none is left.
struct Members<'a> {
    left: BTreeMap<String, &'a RawValue>,
    place: String,
}

impl<'a> Members<'a> {
    fn of(text: &'a str, place: String) -> Result<Self, Problem> {
        match json::object(text) {
            Ok(left) => Ok(Self { left, place }),
            Err(why) => Err(invalid(format!("{place} is no object: {why}"))),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.left.contains_key(name)
    }

    fn wrong(&self, name: &str, why: impl fmt::Display) -> Problem {
        invalid(format!("{}: {name:?}: {why}", self.place))
    }

    fn raw(&mut self, name: &str) -> Result<&'a RawValue, Problem> {
        let taken = self.left.remove(name);
        taken.ok_or_else(|| self.wrong(name, "is missing"))
    }

    fn maybe<T: Deserialize<'a>>(&mut self, name: &str) -> Result<Option<T>, Problem> {
        let Some(raw) = self.left.remove(name) else {
            return Ok(None);
        };
        let read = serde_json::from_str(raw.get());
        read.map(Some).map_err(|why| self.wrong(name, why))
    }

    fn take<T: Deserialize<'a>>(&mut self, name: &str) -> Result<T, Problem> {
        let raw = self.raw(name)?;
        serde_json::from_str(raw.get()).map_err(|why| self.wrong(name, why))
    }

    fn name<T: FromStr<Err = NameError>>(&mut self, name: &str) -> Result<T, Problem> {
        let text: String = self.take(name)?;
        text.parse().map_err(|why: NameError| Problem {
            detail: self.wrong(name, &why).detail,
            ..why.into()
        })
    }

    fn duration(&mut self, name: &str) -> Result<Option<Millis>, Problem> {
        let Some(text) = self.maybe::<String>(name)? else {
            return Ok(None);
        };
        let read = duration(&text).map_err(|why| self.wrong(name, why))?;
        Ok(Some(read.into()))
    }

    fn relation(&mut self) -> Result<Relation, Problem> {
        let Some(text) = self.maybe::<String>("is")? else {
            return Ok(Relation::Equal);
        };
        Ok(match text.as_str() {
            "=" => Relation::Equal,
            "!=" => Relation::NotEqual,
            "<" => Relation::Less,
            "<=" => Relation::AtMost,
            ">" => Relation::Greater,
            ">=" => Relation::AtLeast,
            _ => return Err(self.wrong("is", "is one of = != < <= > >=")),
        })
    }

    fn value(&mut self) -> Result<Value, Problem> {
        match given(self.raw("value")?.get()) {
            Ok(Given::Text(text)) => Ok(Value::new(TEXT, text.into_bytes())),
            Ok(Given::Typed(value)) => Ok(value),
            Ok(Given::Null) => Err(self.wrong("value", "is null")),
            Err(why) => Err(self.wrong("value", why)),
        }
    }

    fn keys(&mut self) -> Result<BTreeMap<KeyName, Option<Value>>, Problem> {
        let raw = self.raw("keys")?;
        let members = json::members(raw.get().as_bytes());
        let members = members.map_err(|why| self.wrong("keys", why.detail))?;
        let one = |(name, given): (String, Given)| {
            let key: KeyName = name.parse().map_err(|why: NameError| Problem {
                detail: self.wrong(&name, &why).detail,
                ..why.into()
            })?;
            let value = match given {
                Given::Null => None,
                Given::Text(text) => Some(Value::new(TEXT, text.into_bytes())),
                Given::Typed(value) => Some(value),
            };
            Ok((key, value))
        };
        members.into_iter().map(one).collect()
    }

    /// Refuses what was not taken.
    fn end(self) -> Result<(), Problem> {
        match self.left.keys().next() {
            None => Ok(()),
            Some(name) => Err(self.wrong(name, "has no meaning here")),
        }
    }
}

fn invalid(detail: String) -> Problem {
    Problem::new(Code::InvalidBody, detail)
}

/// Reads a test.
fn test(mut from: Members<'_>) -> Result<Test, Problem> {
    let test = if from.has("node") {
        let node = from.name("node")?;
        if from.has("key") {
            key_test(&mut from, node)?
        } else {
            node_test(&mut from, node)?
        }
    } else if from.has("counter") {
        let name = from.name("counter")?;
        match from.maybe("exists")? {
            Some(exists) => Test::CounterExists { name, exists },
            None => Test::Counter {
                name,
                relation: from.relation()?,
                value: from.take("value")?,
            },
        }
    } else if from.has("lock") {
        let name = from.name("lock")?;
        match from.maybe("held")? {
            Some(held) => Test::LockHeld { name, held },
            None => Test::LockToken(Fence {
                lock: name,
                token: from.take("token")?,
            }),
        }
    } else {
        return Err(nothing(&from, "\"node\", \"counter\" or \"lock\""));
    };
    from.end()?;
    Ok(test)
}

fn nothing(from: &Members<'_>, wanted: &str) -> Problem {
    invalid(format!("{}: {wanted} says what it is about", from.place))
}

fn key_test(from: &mut Members<'_>, node: NodeName) -> Result<Test, Problem> {
    let key = from.name("key")?;
    let is = if let Some(exists) = from.maybe("exists")? {
        KeyTest::Exists(exists)
    } else if from.has("version") {
        KeyTest::Version(from.relation()?, from.take("version")?)
    } else {
        KeyTest::Value(from.relation()?, from.value()?.octets)
    };
    Ok(Test::Key { node, key, is })
}

fn node_test(from: &mut Members<'_>, node: NodeName) -> Result<Test, Problem> {
    let (relation, version) = match from.maybe("exists")? {
        // A node that is not there has version 0.
        Some(true) => (Relation::Greater, 0),
        Some(false) => (Relation::Equal, 0),
        None => (from.relation()?, from.take("version")?),
    };
    Ok(Test::Node {
        node,
        relation,
        version,
    })
}

/// Reads an operation.
fn op(mut from: Members<'_>) -> Result<Op, Problem> {
    let word: String = from.take("op")?;
    let op = if from.has("node") {
        Op::Node(node_op(&mut from, &word)?)
    } else if from.has("counter") {
        Op::Counter(counter_op(&mut from, &word)?)
    } else if from.has("log") {
        Op::Log(log_op(&mut from, &word)?)
    } else {
        return Err(nothing(&from, "\"node\", \"counter\" or \"log\""));
    };
    from.end()?;
    Ok(op)
}

fn node_op(from: &mut Members<'_>, word: &str) -> Result<NodeOp, Problem> {
    let node = from.name("node")?;
    let condition = Condition::default();
    Ok(match word {
        "get" => NodeOp::Get {
            node,
            key: from.name("key")?,
        },
        "set" => NodeOp::SetKey {
            node,
            key: from.name("key")?,
            value: typed_value(from)?,
            ttl: from.duration("ttl")?,
            condition,
        },
        "delete" if from.has("key") => NodeOp::DeleteKey {
            node,
            key: from.name("key")?,
            condition,
        },
        "delete" => NodeOp::Delete { node, condition },
        "make" => NodeOp::Patch {
            node,
            keys: BTreeMap::new(),
            condition,
        },
        "patch" => NodeOp::Patch {
            node,
            keys: from.keys()?,
            condition,
        },
        "replace" => {
            let keys = from.keys()?.into_iter();
            let value = |(key, value): (KeyName, Option<Value>)| match value {
                Some(value) => Ok((key, value)),
                None => Err(from.wrong(key.as_str(), "is null; leave the key out to delete it")),
            };
            NodeOp::Replace {
                node,
                keys: keys.map(value).collect::<Result<_, _>>()?,
                condition,
            }
        }
        _ => {
            let known = "of a node: get, set, delete, make, patch, replace";
            return Err(from.wrong("op", known));
        }
    })
}

/// `value`, of the type `content_type` if that is given.
fn typed_value(from: &mut Members<'_>) -> Result<Value, Problem> {
    let value = from.value()?;
    match from.maybe::<String>("content_type")? {
        None => Ok(value),
        Some(typ) if media::is_type(&typ) => Ok(Value::new(typ, value.octets)),
        Some(_) => Err(from.wrong("content_type", "is no media type")),
    }
}

fn counter_op(from: &mut Members<'_>, word: &str) -> Result<CounterOp, Problem> {
    let name: CounterName = from.name("counter")?;
    Ok(match word {
        "get" => CounterOp::Get { name },
        "add" => CounterOp::Add {
            name,
            by: from.take("by")?,
        },
        "set" => CounterOp::Set {
            name,
            to: from.take("value")?,
            expected: from.maybe("expect")?,
        },
        "delete" => CounterOp::Delete { name },
        _ => return Err(from.wrong("op", "of a counter: get, add, set, delete")),
    })
}

fn log_op(from: &mut Members<'_>, word: &str) -> Result<LogOp, Problem> {
    let name: LogName = from.name("log")?;
    Ok(match word {
        "append" => {
            let json: Result<Json, _> = from.raw("entry")?.get().parse();
            LogOp::Append {
                name,
                json: json.map_err(|why| from.wrong("entry", why))?,
            }
        }
        "trim" => LogOp::Trim {
            name,
            before: from.take("before")?,
        },
        "configure" => LogOp::Configure {
            name,
            retention: Retention {
                count: from.maybe("count")?.unwrap_or(Retention::default().count),
                age: from.duration("age")?,
            },
        },
        _ => return Err(from.wrong("op", "of a log: append, trim, configure")),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..60),
            words in prop::collection::vec(
                prop::sample::select(vec![
                    "\"if\"", "\"then\"", "\"op\"", "\"set\"", "\"node\"", "\"key\"", "\"value\"",
                    "\"keys\"", "\"counter\"", "\"is\"", ":", ",", "{", "}", "[", "]", "null", "1",
                ]),
                0..30,
            ),
        ) {
            let _ = txn(&bytes);
            let _ = txn(words.concat().as_bytes());
            let _ = txn(format!("{{\"then\":[{{{}}}]}}", words.concat()).as_bytes());
        }
    }
}
