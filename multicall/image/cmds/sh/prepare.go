package main

import (
	"slices"
	"strings"
	"unicode/utf8"

	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// Names of commands that only prepare can call, because no source can contain a zero byte.
const (
	internal = "\x00"
	// spawn starts a shell in the background: spawn SOURCE OPTIONS NAME [ARGUMENT]...
	spawn = internal + "spawn"
	// replace executes a command in place of the shell.
	replace = internal + "exec"
	// last is like replace, unless the command is a function or a builtin, which the shell runs.
	last = internal + "last"
	// own calls a command that the interpreter takes for a builtin, but does not have, or not as
	// this shell needs it.
	own = internal + "own"
	// broken is the command of own that ends a part of a pipeline whose output nobody reads.
	broken = internal + "broken"
)

// prepare changes commands that the interpreter, which is one process, would not run as a shell does.
// If once is set, the last command may take the place of the shell.
func (s *shell) prepare(file *syntax.File, once bool) {
	traps, options := false, false
	syntax.Walk(file, func(node syntax.Node) bool {
		switch n := node.(type) {
		case *syntax.FuncDecl:
			s.functions[n.Body] = source(n.Body)
		case *syntax.Stmt:
			if n.Background {
				inBackground(n)
				return false
			}
			refuseDescriptors(n)
			listDeclared(n)
		case *syntax.CallExpr:
			if len(n.Args) > 0 {
				traps = traps || n.Args[0].Lit() == "trap"
				options = options || n.Args[0].Lit() == "set"
			}
		case *syntax.Assign:
			quoteEscaped(n.Value)
		case *syntax.ArrayElem:
			quoteEscaped(n.Value)
		case *syntax.CaseClause:
			quoteEscaped(n.Word)
		case *syntax.Redirect:
			if !isDocument(n) {
				quoteEscaped(n.Word)
			}
		case *syntax.ParamExp:
			rename(n)
		}
		return true
	})
	if hasProcSubst(file) { // its commands run in this process
		return
	}
	for _, stmt := range file.Stmts {
		replaceExec(stmt)
	}
	if traps { // a signal may come during the last command
		file.Stmts = append(file.Stmts, &syntax.Stmt{Cmd: &syntax.CallExpr{Args: []*syntax.Word{
			word(own), word("end"), parameter("?"),
		}}})
	} else if n := len(file.Stmts); once && n > 0 && !options {
		stmt := file.Stmts[n-1]
		call, ok := stmt.Cmd.(*syntax.CallExpr)
		if ok && len(call.Args) > 0 && !stmt.Negated && !hasDocument(stmt) &&
			!strings.HasPrefix(call.Args[0].Lit(), internal) {
			call.Args = append([]*syntax.Word{word(last)}, call.Args...)
		}
	}
}

// rename replaces parameters that the interpreter lacks, or expands differently from a shell, by
// variables of this shell.
func rename(n *syntax.ParamExp) {
	switch {
	case n.Param == nil:
	case n.Param.Value == "!":
		n.Param.Value = lastJob
	case n.Param.Value == "0":
		n.Param.Value = shellName
	case n.Param.Value == "$":
		n.Param.Value = shellPID
	}
}

// renamed returns commands for eval, which the interpreter parses, with their parameters renamed.
func renamed(commands string) string {
	file, err := syntax.NewParser().Parse(strings.NewReader(commands), "")
	if err != nil {
		return commands // eval reports it
	}
	syntax.Walk(file, func(node syntax.Node) bool {
		if n, ok := node.(*syntax.ParamExp); ok {
			rename(n)
		}
		return true
	})
	return source(file)
}

// inBackground replaces a statement in the background by a call of spawn.
func inBackground(stmt *syntax.Stmt) {
	foreground := *stmt
	foreground.Background = false
	text := source(&foreground)
	if call, ok := stmt.Cmd.(*syntax.CallExpr); ok && len(call.Args) > 0 && !stmt.Negated {
		text = strings.TrimSpace(text) // so that it is the last command of its shell
	}
	*stmt = syntax.Stmt{Position: stmt.Position, Cmd: &syntax.CallExpr{Args: []*syntax.Word{
		word(spawn),
		{Parts: []syntax.WordPart{&syntax.SglQuoted{Value: text}}},
		parameter("-"), parameter(shellName), parameter("@"),
	}}}
}

// refuseDescriptors replaces a statement that redirects descriptors which the interpreter can't
// redirect by one that reports an error.
func refuseDescriptors(stmt *syntax.Stmt) {
	for _, r := range stmt.Redirs {
		var numbers []string
		if r.N != nil {
			numbers = append(numbers, r.N.Value)
		}
		if r.Op == syntax.DplIn || r.Op == syntax.DplOut {
			numbers = append(numbers, r.Word.Lit())
		}
		for _, number := range numbers {
			if strings.TrimLeft(number, "0123456789") == "" && len(number) > 0 && (len(number) > 1 || number > "2") {
				*stmt = syntax.Stmt{Position: stmt.Position, Cmd: &syntax.CallExpr{Args: []*syntax.Word{
					word(own), word("descriptor"), word(number),
				}}}
				return
			}
		}
		if r.Op == syntax.RdrClob { // there is no option -C
			r.Op = syntax.RdrOut
		}
	}
}

// listDeclared makes export and readonly without names print variables.
func listDeclared(stmt *syntax.Stmt) {
	clause, ok := stmt.Cmd.(*syntax.DeclClause)
	if !ok || clause.Variant.Value != "export" && clause.Variant.Value != "readonly" {
		return
	}
	for _, arg := range clause.Args {
		if arg.Value == nil || arg.Value.Lit() != "-p" {
			return
		}
	}
	stmt.Cmd = &syntax.CallExpr{Args: []*syntax.Word{word(own), word(clause.Variant.Value)}}
}

// replaceExec makes exec replace the shell, except in parts that a shell would run in another process.
func replaceExec(stmt *syntax.Stmt) {
	syntax.Walk(stmt, func(node syntax.Node) bool {
		switch n := node.(type) {
		case *syntax.Subshell, *syntax.CmdSubst, *syntax.FuncDecl, *syntax.CoprocClause:
			return false
		case *syntax.BinaryCmd:
			return n.Op != syntax.Pipe && n.Op != syntax.PipeAll
		case *syntax.Stmt:
			return !hasDocument(n)
		case *syntax.CallExpr:
			if len(n.Args) > 1 && n.Args[0].Lit() == "exec" {
				n.Args[0] = word(replace)
			}
		}
		return true
	})
}

// hasDocument reports whether a statement has a here-document, which this process writes while the
// command reads.
func hasDocument(stmt *syntax.Stmt) bool {
	return slices.ContainsFunc(stmt.Redirs, func(r *syntax.Redirect) bool {
		return isDocument(r) || r.Op == syntax.WordHdoc
	})
}

func isDocument(r *syntax.Redirect) bool { return r.Op == syntax.Hdoc || r.Op == syntax.DashHdoc }

// quoteEscaped puts quoted characters in place of escaped ones, where the interpreter keeps the
// backslashes: 'x' for \x.
func quoteEscaped(w *syntax.Word) {
	if w == nil {
		return
	}
	var parts []syntax.WordPart
	for _, part := range w.Parts {
		lit, ok := part.(*syntax.Lit)
		if !ok {
			parts = append(parts, part)
			continue
		}
		text := lit.Value
		for {
			before, after, found := strings.Cut(text, `\`)
			if !found || after == "" {
				parts = append(parts, &syntax.Lit{ValuePos: lit.ValuePos, ValueEnd: lit.ValueEnd, Value: text})
				break
			}
			_, size := utf8.DecodeRuneInString(after)
			parts = append(parts,
				&syntax.Lit{ValuePos: lit.ValuePos, ValueEnd: lit.ValueEnd, Value: before},
				&syntax.SglQuoted{Left: lit.ValuePos, Right: lit.ValuePos, Value: after[:size]})
			text = after[size:]
		}
	}
	w.Parts = parts
}

func hasProcSubst(file *syntax.File) (found bool) {
	syntax.Walk(file, func(node syntax.Node) bool {
		if _, ok := node.(*syntax.ProcSubst); ok {
			found = true
		}
		return !found
	})
	return found
}

// source returns the source of a node.
func source(node syntax.Node) string {
	var text strings.Builder
	if err := syntax.NewPrinter().Print(&text, node); err != nil {
		return "false" // nodes that were parsed can be printed
	}
	return text.String()
}

func word(literal string) *syntax.Word {
	return &syntax.Word{Parts: []syntax.WordPart{&syntax.Lit{Value: literal}}}
}

// parameter returns the word "$name".
func parameter(name string) *syntax.Word {
	value := &syntax.ParamExp{Short: true, Param: &syntax.Lit{Value: name}}
	return &syntax.Word{Parts: []syntax.WordPart{&syntax.DblQuoted{Parts: []syntax.WordPart{value}}}}
}

// isCommand reports whether a name stands for a program, and not for a function or a builtin.
func (s *shell) isCommand(name string) bool {
	return s.runner.Funcs[name] == nil && !interp.IsBuiltin(name)
}
