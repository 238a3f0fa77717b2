package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, text := range map[string]string{"a": "1\n2\n3\n", "open": "1\n2"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const input = "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n"
	for _, tt := range []struct {
		args, output, message string
		code                  int
	}{
		{"", input[2:], "", 0},
		{"-2", "10\n11\n", "", 0},
		{"-n 1", "11\n", "", 0},
		{"-n 100", input, "", 0},
		{"-n -1", "11\n", "", 0},
		{"-n 0", "", "", 0},
		{"-n +10", "10\n11\n", "", 0},
		{"+11", "11\n", "", 0},
		{"-n +0", input, "", 0},
		{"-n +100", "", "", 0},
		{"-c 4", "\n11\n", "", 0},
		{"-c 0", "", "", 0},
		{"-c +3", input[2:], "", 0},
		{"-c +1000", "", "", 0},
		{"open", "1\n2", "", 0},
		{"-1 -- a open", "==> a <==\n3\n\n==> open <==\n2", "", 0},
		{"-1 none a", "==> none <==\n\n==> a <==\n3\n", "tail: open none: no such file or directory\n", 1},
		{"-n", "", "tail: option -n needs a number\n", 1},
		{"-n x", "", "tail: \"x\": want a number\n", 1},
		{"/", "", "tail: /: read /: is a directory\n", 1},
	} {
		var stdout, stderr bytes.Buffer
		code := run(t.Context(), strings.Fields(tt.args), strings.NewReader(input), &stdout, &stderr)
		if stdout.String() != tt.output || stderr.String() != tt.message || code != tt.code {
			t.Errorf("tail %s = %q, %q, %d, want %q, %q, %d", tt.args,
				stdout.String(), stderr.String(), code, tt.output, tt.message, tt.code)
		}
	}
}

// TestFollow adds to a file, and truncates it.
func TestFollow(t *testing.T) {
	t.Chdir(t.TempDir())
	write := func(text string, flag int) {
		file, err := os.OpenFile("log", os.O_WRONLY|os.O_CREATE|flag, 0o644)
		if err == nil {
			_, err = file.WriteString(text)
			err = errors.Join(err, file.Close())
		}
		if err != nil {
			t.Error(err)
		}
	}
	write("1\n2\n", 0)
	r, w := io.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	code := make(chan int)
	go func() { code <- run(ctx, []string{"-f", "-n1", "log"}, nil, w, io.Discard) }()
	for _, step := range []struct {
		shown, next string
		flag        int
	}{
		{"2\n", "3\n", os.O_APPEND},
		{"3\n", "new\n", os.O_TRUNC},
		{"new\n", "", 0},
	} {
		got := make([]byte, len(step.shown))
		if _, err := io.ReadFull(r, got); err != nil || string(got) != step.shown {
			t.Errorf("tail -f printed %q, %v, want %q", got, err, step.shown)
		}
		write(step.next, step.flag)
	}
	stop()
	if got := <-code; got != 0 {
		t.Errorf("tail -f = %d, want 0", got)
	}
}
