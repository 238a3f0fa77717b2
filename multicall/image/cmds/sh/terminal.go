package main

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// A terminal reads lines from a terminal. They can be edited and completed, and there is a history.
type terminal struct {
	shell  *shell
	in     *os.File
	keys   *keys
	editor *term.Terminal
}

// prompts of interactive shells: of root, of other users, and of lines that continue others.
const (
	rootPrompt = "# "
	userPrompt = "$ "
	morePrompt = "> "
)

func newTerminal(s *shell, in, out *os.File) *terminal {
	t := &terminal{shell: s, in: in, keys: &keys{in: in}}
	t.editor = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{t.keys, out}, "")
	t.editor.History = &history{}
	t.editor.AutoCompleteCallback = t.complete
	return t
}

// read reads a line. Meanwhile, and only then, the terminal is in raw mode.
func (t *terminal) read(more bool) (string, error) {
	fd := int(t.in.Fd())
	t.shell.jobs.reportEnds(t.shell.stderr)
	if width, height, err := term.GetSize(fd); err == nil && width > 0 && height > 0 {
		_ = t.editor.SetSize(width, height)
	}
	t.editor.SetPrompt(prompt(more))
	before, err := term.MakeRaw(fd)
	if err != nil {
		return "", err
	}
	line, err := t.editor.ReadLine()
	t.shell.forgetInterrupt() // in raw mode, Ctrl-C sends no signal
	err = errors.Join(errIn(err), term.Restore(fd, before), withoutSuspend(fd))
	switch {
	case t.keys.interrupted:
		t.keys.interrupted = false
		return "", errInterrupted
	case err != nil:
		_, _ = t.shell.stderr.WriteString("\n")
		return "", err
	}
	return line, nil
}

func prompt(more bool) string {
	switch {
	case more:
		return morePrompt
	case os.Geteuid() == 0:
		return rootPrompt
	}
	return userPrompt
}

// errIn returns the error of a line editor, unless it only says that the line was pasted.
func errIn(err error) error {
	if errors.Is(err, term.ErrPasteIndicator) {
		return nil
	}
	return err
}

// withoutSuspend disables Ctrl-Z: the shell could not continue a stopped command.
func withoutSuspend(fd int) error {
	state, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return err
	}
	if state.Cc[unix.VSUSP] == 0 {
		return nil
	}
	state.Cc[unix.VSUSP] = 0 // _POSIX_VDISABLE
	return unix.IoctlSetTermios(fd, unix.TCSETS, state)
}

// keys reads what the user types, byte by byte: what comes after a line is for the command. Ctrl-C
// discards the line; package term would take it for the end of the input.
type keys struct {
	in          io.Reader
	interrupted bool
	queued      []byte
}

// discardLine moves to the end of the line, deletes all before that, and ends it.
const discardLine = "\x05\x15\r"

func (k *keys) Read(p []byte) (int, error) {
	if len(k.queued) == 0 {
		n, err := k.in.Read(p[:1])
		if n == 0 || p[0] != 3 {
			return n, err
		}
		k.interrupted = true
		k.queued = []byte(discardLine)
	}
	n := copy(p, k.queued)
	k.queued = k.queued[n:]
	return n, nil
}

// history has the lines that were typed. It implements term.History.
type history struct{ lines []string }

const maxHistory = 500

func (h *history) Add(line string) {
	if strings.TrimSpace(line) == "" || len(h.lines) > 0 && h.lines[len(h.lines)-1] == line {
		return
	}
	h.lines = append(h.lines, line)
	h.lines = slices.Delete(h.lines, 0, max(0, len(h.lines)-maxHistory))
}

func (h *history) Len() int { return len(h.lines) }

// At returns a line; the latest has the index 0.
func (h *history) At(i int) string { return h.lines[len(h.lines)-1-i] }
