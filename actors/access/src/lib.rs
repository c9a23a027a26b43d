//! Who may do what: a client's [`Principal`], the site's [`AccessRules`], and the [`Rights`] that follow from both.
//!
//! The model is that of Azure IoT Operations' `BrokerAuthorization`: a rule names principals, any of which may match, and
//! what they may do: connect, publish, subscribe. Nothing is allowed that no rule allows. Topics may name the client's
//! own values (`{clientId}`, `{username}`, `{principal.attributes.site}`), and a value that could act as a wildcard or
//! span levels never matches.
//!
//! Order of calls: [`AccessRules::compile`] once; for each client that was authenticated [`AccessRules::rights`], then
//! [`Rights::may_connect`], [`Rights::may_publish`] and [`Rights::may_subscribe`]; after new rules, `rights` again and
//! [`Rights::used_right_lost`]. Reading a Retained Message takes a subscription, so it needs no right of its own.
//!
//! | File | Its idea |
//! |---|---|
//! | `credentials.rs` | what a client shows, and how a secret stays out of logs |
//! | `principal.rs` | who it turned out to be |
//! | `configuration.rs` | the rules as they are written |
//! | `compile_error.rs` | what is wrong with them, and where |
//! | `substitution.rs` | a value of the principal in a pattern |
//! | `name_pattern.rs` | which Client Identifiers and user names match |
//! | `topic_pattern.rs` | which Topic Names match, and which Topic Filters are covered whole |
//! | `rules.rs` | the rules, checked |
//! | `rights.rs` | what one client may do |
//! | `recent_topics.rs` | Topic Names that it was found to have a right to |

mod compile_error;
mod configuration;
mod credentials;
mod name_pattern;
mod principal;
mod recent_topics;
mod rights;
mod rules;
mod substitution;
mod topic_pattern;

pub use compile_error::{CompileError, Place};
pub use configuration::{Action, PrincipalsConfig, ResourceConfig, RuleConfig};
pub use credentials::{Credentials, Secret};
pub use principal::Principal;
pub use rights::{LostRight, Rights};
pub use rules::{AccessRules, RULES_COUNT_MAX, TOPICS_COUNT_MAX};
