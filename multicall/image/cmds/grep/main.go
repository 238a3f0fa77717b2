// Grep prints the lines that match a pattern.
//
// Synopsis:
//
//	grep [-EFcHhilnoqrsvwx] {PATTERN | -e PATTERN...} [FILE]...
//
// Patterns are basic regular expressions, with -E extended ones, and with -F strings. The exit code is
// 0 if a line matches, 1 if none does, and 2 after an error.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	g := grep{stdin: stdin, out: bufio.NewWriter(stdout), stderr: stderr, on: map[byte]bool{}}
	files, err := g.parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "grep: %v\n", err)
		return 2
	}
	for _, name := range files {
		g.path(name)
	}
	g.fail("standard output", g.out.Flush())
	switch {
	case g.failed && !(g.matched && g.on['q']):
		return 2
	case !g.matched:
		return 1
	}
	return 0
}

// flags are the options without a value.
const flags = "EFcHhilnoqrsvwx"

type grep struct {
	stdin  io.Reader
	out    *bufio.Writer
	stderr io.Writer

	on              map[byte]bool // flags
	pattern         *regexp.Regexp
	named           bool // lines begin with the name of the file
	matched, failed bool
}

// parse sets options and pattern, and returns the files.
func (g *grep) parse(args []string) (files []string, err error) {
	var patterns []string
	given, ended := false, false
	for i := 0; i < len(args); i++ {
		arg := args[i]
		switch {
		case ended || len(arg) < 2 || arg[0] != '-':
			files = append(files, arg)
			continue
		case arg == "--":
			ended = true
			continue
		}
		for letters := arg[1:]; letters != ""; letters = letters[1:] {
			switch letter := letters[0]; {
			case letter == 'e':
				value := letters[1:]
				if value == "" {
					if i++; i == len(args) {
						return nil, errors.New("option -e needs a pattern")
					}
					value = args[i]
				}
				given, patterns, letters = true, append(patterns, value), "e"
			case letter == 'R':
				g.on['r'] = true
			case !strings.ContainsRune(flags, rune(letter)):
				return nil, fmt.Errorf("unknown option %s: want -e PATTERN or -%s", arg, flags)
			default:
				g.on[letter] = true
			}
		}
	}
	if !given {
		if len(files) == 0 {
			return nil, errors.New("no pattern")
		}
		patterns, files = files[:1], files[1:]
	}
	switch {
	case len(files) == 0 && g.on['r']:
		files = []string{"."}
	case len(files) == 0:
		files = []string{"-"}
	}
	g.named = (len(files) > 1 || g.on['r'] || g.on['H']) && !g.on['h']
	g.pattern, err = compile(strings.Split(strings.Join(patterns, "\n"), "\n"), g.on)
	return files, err
}

// compile returns the regular expression for all patterns.
func compile(patterns []string, on map[byte]bool) (*regexp.Regexp, error) {
	var all []string
	for _, pattern := range patterns {
		switch {
		case on['F']:
			pattern = regexp.QuoteMeta(pattern)
		case on['E']:
			pattern = brackets(pattern)
		default:
			pattern = extended(pattern)
		}
		all = append(all, "(?:"+pattern+")")
	}
	text := "(?:" + strings.Join(all, "|") + ")"
	switch {
	case on['x']:
		text = "^" + text + "$"
	case on['w']:
		text = `\b` + text + `\b`
	}
	if on['i'] {
		text = "(?i)" + text
	}
	return regexp.Compile(text)
}

// extended returns the extended regular expression for a basic one, in which |, +, ?, {, }, ( and )
// are special only after a backslash, and * is not special at the beginning.
func extended(basic string) string {
	var text strings.Builder
	for i := 0; i < len(basic); i++ {
		c := basic[i]
		switch {
		case c == '\\' && i+1 < len(basic):
			i++
			if !strings.ContainsRune("|+?{}()", rune(basic[i])) {
				text.WriteByte('\\')
			}
			text.WriteByte(basic[i])
		case c == '[':
			end := i + bracketEnd(basic[i:])
			text.WriteString(literalBackslashes(basic[i:end]))
			i = end - 1
		case strings.ContainsRune("|+?{}()", rune(c)),
			c == '*' && (i == 0 || strings.HasSuffix(basic[:i], `\(`) || basic[:i] == "^"):
			text.WriteByte('\\')
			text.WriteByte(c)
		default:
			text.WriteByte(c)
		}
	}
	return text.String()
}

// brackets returns the extended regular expression of POSIX in the notation of package regexp, in which
// a backslash is special in a bracket expression too.
func brackets(pattern string) string {
	var text strings.Builder
	for i := 0; i < len(pattern); i++ {
		switch c := pattern[i]; {
		case c == '\\' && i+1 < len(pattern):
			i++
			text.WriteString(pattern[i-1 : i+1])
		case c == '[':
			end := i + bracketEnd(pattern[i:])
			text.WriteString(literalBackslashes(pattern[i:end]))
			i = end - 1
		default:
			text.WriteByte(c)
		}
	}
	return text.String()
}

func literalBackslashes(bracket string) string { return strings.ReplaceAll(bracket, `\`, `\\`) }

// bracketEnd returns the length of the bracket expression that text begins with.
func bracketEnd(text string) int {
	i := 1
	if i < len(text) && text[i] == '^' {
		i++
	}
	for first := i; i < len(text); i++ {
		if class := strings.Index(text[i:], ":]"); class > 0 && strings.HasPrefix(text[i:], "[:") {
			i += class + 1
		} else if text[i] == ']' && i > first {
			return i + 1
		}
	}
	return len(text)
}

func (g *grep) fail(name string, err error) {
	if err == nil {
		return
	}
	g.failed = true
	if !g.on['s'] {
		if path, ok := errors.AsType[*fs.PathError](err); ok {
			err = path.Err
		}
		fmt.Fprintf(g.stderr, "grep: %s: %v\n", name, err)
	}
}

// path searches a file, or with -r those of a directory.
func (g *grep) path(name string) {
	if name == "-" {
		g.fail("standard input", g.lines("(standard input)", g.stdin))
		return
	}
	if !g.on['r'] {
		g.file(name)
		return
	}
	_ = filepath.WalkDir(name, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			g.fail(path, err)
		case entry.Type().IsRegular() || path == name && !entry.IsDir():
			g.file(path)
		}
		return nil
	})
}

func (g *grep) file(name string) {
	file, err := os.Open(name)
	if err != nil {
		g.fail(name, err)
		return
	}
	defer file.Close()
	g.fail(name, g.lines(name, file))
}

// lines prints what matches in a file.
func (g *grep) lines(name string, in io.Reader) error {
	prefix := ""
	if g.named {
		prefix = name + ":"
	}
	count := 0
	lines := bufio.NewReader(in)
	for number := 1; ; number++ {
		if lines.Buffered() == 0 { // the next line may take a while
			if err := g.out.Flush(); err != nil {
				return err
			}
		}
		line, err := lines.ReadString('\n')
		if line == "" && err != nil {
			if g.on['c'] && !g.on['q'] && !g.on['l'] {
				fmt.Fprintf(g.out, "%s%d\n", prefix, count)
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		line = strings.TrimSuffix(line, "\n")
		if g.pattern.MatchString(line) == g.on['v'] {
			continue
		}
		g.matched = true
		count++
		switch {
		case g.on['q']:
			return nil
		case g.on['l']:
			fmt.Fprintln(g.out, name)
			return nil
		case g.on['c']:
		default:
			g.print(prefix, number, line)
		}
	}
}

func (g *grep) print(prefix string, number int, line string) {
	if g.on['n'] {
		prefix = fmt.Sprintf("%s%d:", prefix, number)
	}
	if !g.on['o'] {
		fmt.Fprintf(g.out, "%s%s\n", prefix, line)
		return
	}
	for _, part := range g.pattern.FindAllString(line, -1) {
		if part != "" && !g.on['v'] {
			fmt.Fprintf(g.out, "%s%s\n", prefix, part)
		}
	}
}
