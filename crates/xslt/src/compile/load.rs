//! The files of a stylesheet: `xsl:import` and `xsl:include`, and the order in which what they declare counts.

use std::rc::Rc;

use super::{At, Compiled, Compiler, Top};
use crate::Resolve;
use crate::error::CompileError;
use crate::parse::{Bounds, parse};
use crate::tree::{Kind, Tree};

/// Most bytes of one file of a stylesheet.
pub(crate) const FILE_BYTES_MAX: usize = 4 << 20;
/// Most files, each time that one is named counted.
const FILES_MAX: usize = 64;
/// Deepest nesting of a stylesheet's elements; what compiles them recurses no deeper.
const DEPTH_MAX: usize = 64;
const NODES_MAX: usize = 500_000;

/// A file with those that it includes.
struct Unit {
    file: usize,
    root: u32,
    name: String,
}

impl Compiler<'_> {
    pub(super) fn load(&mut self, file: &str, text: &str, resolve: Resolve<'_>) -> Compiled<()> {
        let main = self.read(file, text)?;
        if self
            .xsl(At {
                file: 0,
                node: main.root,
            })
            .is_none()
        {
            // A literal result element as the whole stylesheet: its template is made by `declare`.
            let at = At {
                file: 0,
                node: main.root,
            };
            self.check_simplified(at)?;
            self.tops.push(Top {
                at,
                precedence: 0,
                imports_from: 0,
            });
            return Ok(());
        }
        let mut precedence = 0;
        let mut open = vec![main.name.clone()];
        self.tree_of_imports(&main, resolve, &mut precedence, &mut open)
    }

    fn check_simplified(&mut self, at: At) -> Compiled<()> {
        let local = self.names.sym("version");
        let version = self.names.name(self.xslt, local);
        match self.attribute_named(at, version) {
            Some(_) => Ok(()),
            None => {
                let message = "it is no stylesheet: it begins with xsl:stylesheet version=\"1.0\" xmlns:xsl=\"http://www.w3.org/1999/XSL/Transform\", or with a result element that has xsl:version";
                Err(self.wrong(at, message))
            }
        }
    }

    fn read(&mut self, name: &str, text: &str) -> Compiled<Unit> {
        let bounds = Bounds {
            nodes_max: NODES_MAX,
            bytes_max: FILE_BYTES_MAX,
            depth_max: DEPTH_MAX,
        };
        let parsed = parse(text, &mut self.names, bounds, None, true);
        let tree: Tree = parsed.map_err(|broken| {
            let (line, column) = crate::position(text, broken.offset);
            CompileError {
                file: name.to_owned(),
                line,
                column,
                message: broken.message,
            }
        })?;
        let root = tree
            .children(0)
            .find(|child| tree.kind(*child) == Kind::Element)
            .unwrap_or(0);
        let file = self.trees.len();
        self.trees.push(Rc::new(tree));
        self.sheet.files.push((name.to_owned(), text.into()));
        Ok(Unit {
            file,
            root,
            name: name.to_owned(),
        })
    }

    /// A file, first all that it imports: what comes later has the higher precedence. Recurses once an import.
    fn tree_of_imports(
        &mut self,
        unit: &Unit,
        resolve: Resolve<'_>,
        precedence: &mut u32,
        open: &mut Vec<String>,
    ) -> Compiled<()> {
        let imports_from = *precedence;
        let mut imports = Vec::new();
        let mut tops = Vec::new();
        self.collect(unit, resolve, open, &mut imports, &mut tops)?;
        for (at, href) in imports {
            let imported = self.fetch(at, &href, resolve, open)?;
            open.push(imported.name.clone());
            self.tree_of_imports(&imported, resolve, precedence, open)?;
            open.pop();
        }
        let own = *precedence;
        *precedence += 1;
        self.tops.extend(tops.into_iter().map(|at| Top {
            at,
            precedence: own,
            imports_from,
        }));
        Ok(())
    }

    /// Top-level elements of a file, those of included files where they are included. Recurses once an include.
    fn collect(
        &mut self,
        unit: &Unit,
        resolve: Resolve<'_>,
        open: &mut Vec<String>,
        imports: &mut Vec<(At, String)>,
        tops: &mut Vec<At>,
    ) -> Compiled<()> {
        let root = At {
            file: unit.file,
            node: unit.root,
        };
        match self.xsl(root).as_deref() {
            Some("stylesheet" | "transform") => {}
            _ => {
                return Err(self.wrong(
                    root,
                    "it does not begin with xsl:stylesheet or xsl:transform",
                ));
            }
        }
        let name = self.xsl(root).unwrap_or_default();
        self.check_attributes(root, &name)?;
        let tree = self.tree(root);
        let mut are_imports_over = false;
        for node in tree.children(root.node) {
            let at = At { node, ..root };
            match tree.kind(node) {
                Kind::Element => {}
                Kind::Text if !crate::parse::is_space(tree.value(node)) => {
                    return Err(self.wrong(at, "there is text outside of templates"));
                }
                _ => continue,
            }
            let element = self.xsl(at);
            if element.as_deref() == Some("import") {
                self.check_attributes(at, "import")?;
                if are_imports_over {
                    return Err(self.wrong(at, "xsl:import stands before all other elements"));
                }
                let (attribute, href) = self.required(at, "href")?;
                imports.push((attribute, href));
                continue;
            }
            are_imports_over = true;
            if element.as_deref() == Some("include") {
                self.check_attributes(at, "include")?;
                let (attribute, href) = self.required(at, "href")?;
                let included = self.fetch(attribute, &href, resolve, open)?;
                open.push(included.name.clone());
                self.collect(&included, resolve, open, imports, tops)?;
                open.pop();
                continue;
            }
            tops.push(at);
        }
        Ok(())
    }

    fn fetch(
        &mut self,
        at: At,
        href: &str,
        resolve: Resolve<'_>,
        open: &[String],
    ) -> Compiled<Unit> {
        let name = href.strip_prefix("./").unwrap_or(href);
        if open.iter().any(|known| known == name) {
            return Err(self.wrong(at, format!("{href} imports or includes itself")));
        }
        if self.trees.len() >= FILES_MAX {
            return Err(self.wrong(at, format!("a stylesheet has at most {FILES_MAX} files")));
        }
        let text = resolve(name).map_err(|message| self.wrong(at, message))?;
        self.read(name, &text)
    }
}
