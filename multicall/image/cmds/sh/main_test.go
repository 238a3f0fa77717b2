package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain makes the test's binary the shell, if it is called so.
func TestMain(m *testing.M) {
	if os.Args[0] == "sh" {
		os.Exit(run(os.Args, os.Environ(), os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// shellCommand returns the shell as a command.
func shellCommand(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Args = append([]string{"sh"}, args...)
	cmd.Dir = t.TempDir()
	return cmd
}

// runShell runs the shell, and returns its output, with that on standard error, and exit code.
func runShell(t *testing.T, stdin string, args ...string) (string, int) {
	t.Helper()
	cmd := shellCommand(t, args...)
	cmd.Stdin = strings.NewReader(stdin)
	cmd.WaitDelay = 5 * time.Second // for what it has started and left
	output, err := cmd.CombinedOutput()
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok && err != nil || ok && exit.ExitCode() < 0 {
		t.Fatalf("sh %q: %v, %s", args, err, output)
	}
	return string(output), cmd.ProcessState.ExitCode()
}

func TestCommands(t *testing.T) {
	for _, tt := range []struct {
		commands, output string
		code             int
	}{
		// The exit code.
		{"false", "", 1},
		{"true", "", 0},
		{"false; exit", "", 1},
		{"exit 7", "", 7},
		{"(exit 3); echo $?", "3\n", 0},
		{"set -e; false; echo no", "", 1},
		{"trap 'echo end' EXIT; exit 4", "end\n", 4},
		{"set -u; echo $nosuch", "nosuch: unbound variable\n", 1},
		{"if", "sh: line 1: `if` must be followed by a statement list\n", 2},
		// Programs.
		{"nosuch", "sh: nosuch: not found\n", 127},
		{"/no/such", "sh: /no/such: no such file or directory\n", 127},
		{"/etc/passwd", "sh: /etc/passwd: permission denied\n", 126},
		{"/", "sh: /: is a directory\n", 126},
		{"exec nosuch; echo no", "sh: nosuch: not found\n", 127},
		{"echo echo '$0 $1' >f; chmod +x f; ./f a; exec ./f b", "./f a\n./f b\n", 0},
		{"A=1; B=2 C=3 env >f; grep -c '^[ABC]=' f; export A; unset C; env | grep ^A=", "2\nA=1\n", 0},
		{"sleep 100 & kill -9 $!; wait $!; echo $?", "137\n", 0},
		{"seq 9 | head -2; seq 9 | tail -1; seq 3 | head -n 1", "1\n2\n9\n1\n", 0},
		// Pipelines and redirections.
		{"echo a b c | { read x y; echo \"$y\"; }", "b c\n", 0},
		{"while :; do echo y; done | head -n 1", "y\n", 0},
		{"false | true; echo $?; set -o pipefail; false | true; echo $?", "0\n1\n", 0},
		{"x=v; cat <<E; cat <<'E'\n$x\nE\n$x\nE", "v\n$x\n", 0},
		{"{ echo out; echo err >&2; } 2>f >&2; cat f", "out\nerr\n", 0},
		{"exec 2>f; nosuch; cat f", "sh: nosuch: not found\n", 0},
		{"cat <(echo substituted)", "substituted\n", 0},
		{"echo $(echo a; exit 3) $?", "a 0\n", 0},
		{`x=it\'s\ "a"\\; y='b'\"; z=(c\ d); echo "$x $y ${z[0]}"; case a\ b in "a b") echo ok; esac`, "it's a\\ b\" c d\nok\n", 0},
		{`echo x >a\ b; cat "a b"; x=~; test "$x" = "$HOME"; y=\~; echo $y`, "x\n~\n", 0},
		// Replacing the shell.
		{"echo $$ >f; exec sh -c 'test $$ = $(cat f) && echo same'", "same\n", 0},
		{"(exec true); exec false; echo no", "", 1},
		{"cd /; exec pwd", "/\n", 0},
		{"f() { echo function; }; f", "function\n", 0},
		{"exec cat <<E\ndocument\nE", "document\n", 0},
		// Commands in the background.
		{"sleep 0 & wait; echo $?", "0\n", 0},
		{"(exit 4) & wait $!; echo $?", "4\n", 0},
		{"f() { return $1; }; x=5; f $x & wait $!; echo $?", "5\n", 0},
		{"x=\"it's\"; a=(1 '2 3'); { echo \"$x ${a[1]} $1\"; } & wait", "it's 2 3 \n", 0},
		{"set -- one 'two three'; { echo $# \"$2\"; } & wait", "2 two three\n", 0},
		{"sleep 100 & (kill $!) & wait %1; echo $?", "143\n", 0},
		{"sleep 100 & test -d /proc/$! && echo $((! $? )); kill %1", "1\n", 0},
		{"sleep 100 & jobs; kill %%", "[1] Running  sleep 100\n", 0},
		{"cat & wait; echo $?", "0\n", 0}, // with /dev/null
		{"wait 1; echo $?", "sh: wait: 1 is not a child of this shell\n127\n", 0},
		{"eval 'true & wait $!'; echo $?", "0\n", 0},
		// Builtins of this shell.
		{"umask 027; umask; sh -c umask; umask x", "0027\n0027\numask: x: want an octal number\n", 1},
		{"umask() { echo mine; }; umask", "mine\n", 0},
		{"export A=\"it's\"; export | grep ^export.A=; export -p | grep -c ' A='; set | grep ^A=", "export A='it'\\''s'\n1\nA='it'\\''s'\n", 0},
		{"readonly B=2; readonly | grep B; set | grep -c __krunbox", "readonly B='2'\n0\n", 1},
		{"kill %3", "sh: kill: %3: no such job\n", 1},
		{"kill -l 9 137 int; kill -l | head -n 2", "KILL\nKILL\n2\n 1 HUP\n 2 INT\n", 0},
		{"sleep 100 & kill -INT $!; wait $!; sleep 100 & kill -s SIGHUP -- $!; wait $!; echo $?", "129\n", 0},
		{"kill; kill -x 1; kill x; kill -0 99999999", "sh: kill: usage: kill [-s SIGNAL | -SIGNAL] {PID | %JOB}...\n" +
			"sh: kill: x: no such signal\nsh: kill: x: want the PID of a process\nsh: kill: 99999999: no such process\n", 1},
		{"fg", "fg: unsupported builtin\n", 2},
		// Redirections of the shell.
		{"exec >f; echo shell; env echo program; exec >&2; cat f", "shell\nprogram\n", 0},
		{"echo 'a\nb' >f; exec <f; read x; cat; echo $x", "b\na\n", 0},
		{"echo >f; echo b >|f; cat f", "b\n", 0},
		{"exec 3>f", "sh: descriptor 3: only 0, 1 and 2 can be redirected\n", 1},
		{":\necho a >&3; echo go on", "sh: descriptor 3: only 0, 1 and 2 can be redirected\ngo on\n", 0},
		{"while read x <&4; do :; done 4<f & wait $!", "sh: descriptor 4: only 0, 1 and 2 can be redirected\n", 1},
		// Traps.
		{"trap 'echo trapped' USR1; kill -USR1 $$; echo next; kill -USR1 $$", "trapped\nnext\ntrapped\n", 0},
		{"trap 'x=$?' USR1; kill -USR1 $$; until test $x; do :; done; echo $x", "0\n", 0},
		{"trap 'echo end; exit 3' TERM; kill -TERM $$; while :; do :; done", "end\n", 3},
		{"trap 'echo end; kill $!' TERM; sleep 100 & kill -TERM $$; wait $!", "end\n", 143},
		{"trap 'echo end; kill $!' 15 EXIT; sleep 100 & kill -TERM $$; wait; trap - EXIT", "end\n", 0},
		{"trap 'x=1' INT; kill -INT $$; f() { test \"$x\" && echo \"$1\"; }; until f 'a  b'; do :; done", "a  b\n", 0},
		{"trap '' TERM; kill -TERM $$; sh -c 'kill -TERM $$; echo both'; trap", "both\ntrap -- '' TERM\n", 0},
		{`echo 'trap "echo no" TERM; trap - SIGTERM; trap; kill -TERM $$; while :; do :; done' >f; chmod +x f; ./f; echo $?`, "143\n", 0},
		{"trap 'echo no' NOSUCH", "sh: trap: NOSUCH: no such signal\n", 1},
		{"trap 'echo end' 0; false", "end\n", 1},
		// Limits.
		{"ulimit -n 100; ulimit -n; ulimit -Hn; sh -c 'ulimit -n'", "100\n100\n100\n", 0},
		{"ulimit -Sn 50; ulimit -Sn; ulimit -n hard; test $(ulimit -n) = $(ulimit -Hn) && echo same", "50\nsame\n", 0},
		{"ulimit -c 0; ulimit -Hc", "0\n", 0},
		{"ulimit -f 7; ulimit; ulimit -a | grep -c .; ulimit -a | grep ^-f", "7\n15\n-f file size (blocks of 512 bytes)        7\n", 0},
		{"ulimit -n x", "ulimit: \"x\": want a number, or unlimited\n", 1},
		{"ulimit -z", "ulimit: unknown option -z\n", 1},
		{"ulimit -a 1", "ulimit: usage: ulimit [-HS] [-a | -LETTER [LIMIT]]\n", 1},
		// Names of the shell.
		{"echo $$ $0 >f; { echo $$ $0; } >g & wait; cmp f g && test $! != $$ && cut -d ' ' -f 2 f", "sh\n", 0},
	} {
		if output, code := runShell(t, "", "-c", tt.commands); output != tt.output || code != tt.code {
			t.Errorf("sh -c %q = %q, %d, want %q, %d", tt.commands, output, code, tt.output, tt.code)
		}
	}
}

func TestOptions(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("echo $0 $#\nfalse\nexit"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args          []string
		stdin, output string
		code          int
	}{
		{[]string{"-c", "echo $0 $1 $#", "name", "a"}, "", "name a 1\n", 0},
		{[]string{"-ec", "false; echo no"}, "", "", 1},
		{[]string{"-e", "-o", "pipefail", "-c", "false | true; echo no"}, "", "", 1},
		{[]string{"+e", "-c", "false; echo $-"}, "", "\n", 0},
		{[]string{"-c"}, "", "sh: option -c needs commands\n", 2},
		{[]string{"-o"}, "", "sh: option -o needs a name\n", 2},
		{[]string{"-c", "-o"}, "", "sh: option -o needs a name\n", 2},
		{[]string{"--nosuch"}, "", "sh: unknown option --nosuch\n", 2},
		{[]string{"-Z"}, "", "sh: invalid option: \"-Z\"\n", 2},
		{[]string{script, "a"}, "", script + " 1\n", 1},
		{[]string{"/no/script"}, "", "/no/script: open /no/script: no such file or directory\n", 127},
		{[]string{"-s", "a b"}, "echo $1\nexit 3", "a b\n", 3},
		// A command reads what follows its line.
		{nil, "read x; echo \"<$x>\"\nline\nif true\nthen echo then\\\n more\nfi; cat\nrest", "<line>\nthen more\nrest", 0},
		{nil, "cat <<E\na\nE\nfalse", "a\n", 1},
		{nil, "echo $0\nf() { echo $0; }; f\n{ echo $0; } & wait; eval 'echo $0'", "sh\nsh\nsh\nsh\n", 0},
		{nil, "echo 'a", "sh: line 1: reached EOF without closing quote `'`\n", 2},
		{[]string{"-i"}, "fi\necho $?\nfalse", "sh: line 1: `fi` can only be used to end an `if`\n2\n", 1},
	} {
		if output, code := runShell(t, tt.stdin, tt.args...); output != tt.output || code != tt.code {
			t.Errorf("sh %q with input %q = %q, %d, want %q, %d", tt.args, tt.stdin, output, code, tt.output, tt.code)
		}
	}
}

// A session is a shell on a terminal.
type session struct {
	t        *testing.T
	terminal *os.File // the master
	cmd      *exec.Cmd

	mutex sync.Mutex
	shown bytes.Buffer
	more  chan struct{} // receives when there is more output
}

func newSession(t *testing.T, args ...string) *session {
	t.Helper()
	// The poller, which a terminal supports if it does not block, ends reads when it is closed.
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skip(err)
	}
	s := &session{t: t, terminal: os.NewFile(uintptr(fd), "terminal"), more: make(chan struct{}, 1)}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	s.cmd = shellCommand(t, args...)
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = tty, tty, tty
	s.cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Setctty: true}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go s.receive()
	t.Cleanup(func() {
		s.cmd.Process.Kill()
		s.cmd.Wait()
		s.terminal.Close()
	})
	return s
}

// receive keeps what the shell shows until it ends.
func (s *session) receive() {
	buf := make([]byte, 1024)
	for {
		n, err := s.terminal.Read(buf)
		s.mutex.Lock()
		s.shown.Write(buf[:n])
		s.mutex.Unlock()
		select {
		case s.more <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// expect waits until the shell has shown text, and forgets what came before its end.
func (s *session) expect(text string) {
	s.t.Helper()
	for timeout := time.After(time.Minute); ; {
		s.mutex.Lock()
		at := bytes.Index(s.shown.Bytes(), []byte(text))
		if at >= 0 {
			s.shown.Next(at + len(text))
		}
		shown := s.shown.String()
		s.mutex.Unlock()
		if at >= 0 {
			return
		}
		select {
		case <-s.more:
		case <-timeout:
			s.t.Fatalf("the shell shows %q, want %q", shown, text)
		}
	}
}

// expectPrompt waits for a prompt at the beginning of a line.
func (s *session) expectPrompt() { s.t.Helper(); s.expect(prompt(false)) }

// typeKeys types keys as a user would: the shell is ready for them.
func (s *session) typeKeys(keys string) {
	s.t.Helper()
	if _, err := s.terminal.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}

// wantCode waits for the end of the shell and checks its exit code.
func (s *session) wantCode(want int) {
	s.t.Helper()
	_ = s.cmd.Wait()
	if got := s.cmd.ProcessState.ExitCode(); got != want {
		s.t.Errorf("exit code = %d, want %d", got, want)
	}
}

// line types a line at the prompt, and waits until the output contains text.
func (s *session) line(line, text string) {
	s.t.Helper()
	s.expectPrompt()
	s.typeKeys(line + "\r")
	s.expect("\r\n")
	s.expect(text)
}

func TestSession(t *testing.T) {
	s := newSession(t)
	s.line("echo one two | head -1", "one two\r\n")
	s.line("false", "")
	s.line("echo code $?", "code 1\r\n")
	s.line("if true; then", "> ")
	s.typeKeys("echo then; fi\r")
	s.expect("\r\nthen\r\n")
	s.line("nosuch", "sh: nosuch: not found\r\n")
	s.line("exec nosuch", "sh: nosuch: not found\r\n")
	s.line("echo still; if; echo no", "must be followed by a statement list\r\n")
	s.line("echo started; cat; echo end", "started\r\n") // the terminal is out of raw mode
	s.typeKeys("to cat\r\x04")
	s.expect("to cat\r\nto cat\r\nend\r\n")
	s.line("exit 7", "")
	s.wantCode(7)
}

// The exit code of a shell that the user leaves is that of the last command.
func TestSessionExit(t *testing.T) {
	for _, leave := range []string{"exit\r", "\x04"} {
		s := newSession(t)
		s.line("(exit 5)", "")
		s.expectPrompt()
		s.typeKeys(leave)
		s.wantCode(5)
	}
}

// Ctrl-C ends the command, and the list that it is in, and not the shell or the background.
func TestSessionInterrupt(t *testing.T) {
	s := newSession(t)
	s.line("sleep 100 & job=$!; echo started >f", "[1] ")
	for _, command := range []string{
		"tail -f f; echo not this",
		"tail -f f | cat; echo not this",
		"while :; do tail -f f; done",
		"(tail -f f)",
		"echo started; while :; do :; done",
		"echo started; wait",
	} {
		s.line(command, "started\r\n")
		s.typeKeys("\x03")
		s.expect("^C\r\n")
		s.line("echo code $?", "code 130\r\n")
	}
	s.expectPrompt()
	s.typeKeys("discarded\x03")
	s.expect("\r\n")
	s.line("echo code $?; kill -0 $job && echo alive", "code 130\r\nalive\r\n")
	s.line("kill $job; wait $job; echo code $?", "code 143\r\n")
	s.line("echo stays\x1a", "stays\r\n") // Ctrl-Z
	s.line("exit", "")
	s.wantCode(0)
}

// Ctrl-Z does not stop a command, which nobody could continue.
func TestSessionSuspend(t *testing.T) {
	s := newSession(t)
	s.line("echo started; cat", "started\r\n")
	s.typeKeys("\x1a")
	s.expect("^Z")
	s.typeKeys("\r\x04")
	s.expect("\x1a\r\n")
	s.line("exit", "")
	s.wantCode(0)
}

func TestSessionEditing(t *testing.T) {
	s := newSession(t)
	if err := os.WriteFile(filepath.Join(s.cmd.Dir, "a-long-name"), []byte("contents\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s.line("ech first\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[Do", "") // cursor keys
	s.expect("first\r\n")
	s.expectPrompt()
	s.typeKeys("\x1b[A\r") // the line above
	s.expect("\r\nfirst\r\n")
	s.line("cat a-l\t", "contents\r\n")
	s.line("cat a-l\t; mkdi\td1 d2", "contents\r\n")
	s.expectPrompt()
	s.typeKeys("ls -d d\t") // there are two
	s.expect("d1/  d2/\r\n")
	s.typeKeys("2\t\r")
	s.expect("\r\nd2/\r\n")
	s.line("exit", "")
	s.wantCode(0)
}

func TestHistory(t *testing.T) {
	var h history
	for i := range maxHistory + 5 {
		h.Add(fmt.Sprint(i))
		h.Add(" ")
		h.Add(fmt.Sprint(i))
	}
	if got := []string{h.At(0), h.At(h.Len() - 1)}; h.Len() != maxHistory || !slices.Equal(got, []string{"504", "5"}) {
		t.Errorf("history has %d lines, the latest and first are %q", h.Len(), got)
	}
}
