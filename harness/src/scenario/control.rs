//! Steps that run a command or act on a target's process: `exec`, `restart`, `signal` and `stop`.

use std::ops::Range;
use std::sync::Arc;

use super::step::{Steps, scalar};
use super::target::{Target, TargetKind};
use crate::conversation::script::Control;
use crate::document::{Node, Reader, Value, did_you_mean};
use crate::template::Template;

impl Steps<'_> {
    pub(super) fn lower_control(&mut self, reader: &mut Reader, key: &str, node: &Node) -> Option<Control> {
        match (key, &node.value) {
            ("exec", _) => {
                let mut argv = Vec::new();
                for item in reader.array(node, "`exec`")? {
                    let template = scalar(reader, item, "`exec`")?;
                    self.scope.check(reader, &item.span, template.variables());
                    argv.push(template);
                }
                if argv.is_empty() {
                    reader.mistake(&node.span, "`exec` has at least the program's name");
                    return None;
                }
                // A program is found from the folder of the file that names it; a run knows only that of the scenario.
                let folder = reader.folder(&node.span);
                if let Some(program) = argv[0].as_literal().map(|text| String::from_utf8_lossy(text).into_owned())
                    && program.contains('/')
                    && folder != reader.folder(&(0..0))
                {
                    let path = folder.join(program);
                    let path = std::path::absolute(&path).unwrap_or(path);
                    argv[0] = Template::literal(path.to_string_lossy().into_owned());
                }
                Some(Control::Exec(argv))
            }
            ("signal", Value::Table(table)) => {
                let [entry] = table.entries.as_slice() else {
                    reader.mistake(&node.span, "`signal` names one target: `{ signal = { kv = \"SIGHUP\" } }`");
                    return None;
                };
                let target = self.process(reader, key, &entry.key_span, Some(&entry.key))?;
                let signal = self.lower_signal(reader, &entry.node)?;
                Some(Control::Signal { target, signal })
            }
            ("signal", _) => {
                let signal = self.lower_signal(reader, node)?;
                Some(Control::Signal { target: self.process(reader, key, &node.span, None)?, signal })
            }
            (_, Value::Boolean(true)) => {
                let target = self.process(reader, key, &node.span, None)?;
                Some(if key == "stop" { Control::Stop(target) } else { Control::Restart(target) })
            }
            _ => {
                let name = reader.static_string(node, &format!("`{key}`"))?;
                let target = self.process(reader, key, &node.span, Some(&name))?;
                Some(if key == "stop" { Control::Stop(target) } else { Control::Restart(target) })
            }
        }
    }

    fn lower_signal(&self, reader: &mut Reader, node: &Node) -> Option<Arc<str>> {
        let name = reader.static_string(node, "`signal`")?;
        match crate::signal::Signal::parse(&name) {
            Ok(_) => Some(name.into()),
            Err(error) => {
                reader.mistake(&node.span, error.to_string());
                None
            }
        }
    }

    /// A target that has a process of ours.
    fn process(&mut self, reader: &mut Reader, key: &str, span: &Range<usize>, name: Option<&str>) -> Option<Arc<str>> {
        // A signal is for a program; a server of ours can only be stopped and started.
        let ours = |target: &&Target| match target.kind {
            TargetKind::Address(_) => false,
            TargetKind::Builtin { .. } => key != "signal",
            TargetKind::Command(_) => true,
        };
        let target = match name {
            Some(name) => {
                let Some(found) = self.targets.iter().find(|target| target.name == name) else {
                    let known = self.targets.iter().map(|target| target.name.as_str());
                    let hint = did_you_mean(name, known).unwrap_or_else(|| "`[target.NAME]` makes one".into());
                    reader.mistake_with_hint(span, format!("there is no target `{name}`"), hint);
                    return None;
                };
                found
            }
            None => match self.targets.iter().filter(ours).collect::<Vec<_>>()[..] {
                [one] => one,
                [] => {
                    let hint = "a target with `command` has, and one with `builtin` can be stopped and restarted";
                    reader.mistake_with_hint(span, "there is no target with a process of its own", hint);
                    return None;
                }
                [first, ..] => {
                    let hint = format!(
                        "`\"{}\"` names one; a signal's is `{{ signal = {{ {} = \"SIGHUP\" }} }}`",
                        first.name, first.name
                    );
                    reader.mistake_with_hint(span, "several targets have processes: this is for one of them", hint);
                    return None;
                }
            },
        };
        if !ours(&target) {
            let hint = "a target with `command` has, and one with `builtin` can be stopped and restarted";
            reader.mistake_with_hint(span, format!("the target `{}` has no process of its own", target.name), hint);
            return None;
        }
        self.disturbed.insert(target.name.clone());
        Some(target.name.as_str().into())
    }
}
