package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestChartRecorder writes the output of a console in pieces of every length.
func TestChartRecorder(t *testing.T) {
	const (
		stage  = "krunbox: signals: at 1.000000 s, 2.000 ms, ok\r\n"
		left   = "krunbox: root: left out, only if asked for\n"
		others = "# krunbox: warning: x\nkrunbox: warning: lease: none\nkrun\nkrunbox: signals: at one\n$ "
	)
	input := stage + others[:22] + left + others[22:]
	for length := 1; length <= len(input); length++ {
		for _, show := range []bool{false, true} {
			var out strings.Builder
			c := &chartRecorder{w: &out, show: show}
			for rest := input; rest != ""; {
				n := min(length, len(rest))
				if got, err := c.Write([]byte(rest[:n])); got != n || err != nil {
					t.Fatalf("Write() = %d, %v, want %d", got, err, n)
				}
				rest = rest[n:]
			}
			// A prompt has no line feed, and must be shown.
			want := others
			if show {
				want = input
			}
			if out.String() != want || len(c.report) != 2 {
				t.Fatalf("pieces of %d bytes: output = %q, %d stages, want %q, 2", length, out.String(), len(c.report), want)
			}
			if err := c.close(); err != nil || out.String() != want {
				t.Fatalf("pieces of %d bytes: output after the end = %q, %v, want %q", length, out.String(), err, want)
			}
		}
	}
	var out strings.Builder
	c := &chartRecorder{w: &out}
	_, _ = c.Write([]byte("krunb"))
	if err := c.close(); err != nil || out.String() != "krunb" {
		t.Errorf("output = %q, %v, want the line that did not end", out.String(), err)
	}
}

// TestBootChart draws the chart of a boot with DHCP: as a picture, as text, and from the report that
// the guest itself has. Other output stays as it is.
func TestBootChart(t *testing.T) {
	t.Parallel()
	svg := filepath.Join(t.TempDir(), "boot.svg")
	cmd := withKrunbox(t, "--net", "--env", "KRUN_NEW=1", "--boot-chart", svg, "--",
		"/bin/sh", "-c", `until grep -q '"workload"' /dev/.boot.json; do usleep 10000; done; cat /dev/.boot.json; exit 3`)
	var report, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &report, &stderr
	if got := exitCode(t, cmd.Run()); got != 3 {
		t.Errorf("exit code = %d, want 3", got)
	}
	if got, want := stderr.String(), "krunbox: warning: parameters: KRUN_NEW: not supported by this version\n"; got != want {
		t.Errorf("standard error = %q, want %q", got, want)
	}
	picture, err := os.ReadFile(svg)
	if err != nil {
		t.Fatal(err)
	}
	wanted := []string{"Boot to the workload: ", "lease request", "parameters: warn: KRUN_NEW", "workload", "Left out",
		"root: only if a block root or an overlay is asked for"}
	for _, want := range append(wanted, "workload started</text>", "prefers-color-scheme: dark") {
		if !strings.Contains(string(picture), want) {
			t.Errorf("picture lacks %q", want)
		}
	}
	// The times on the console and in the report are the same.
	cmd = krunhost(t, "x")
	cmd.Args = []string{cmd.Args[0], "boot-chart"}
	cmd.Stdin = bytes.NewReader(report.Bytes())
	again, err := cmd.Output()
	if err != nil || !bytes.Equal(again, picture) {
		t.Errorf("krunhost boot-chart of the guest's report = %v, %.3000s\nwant the picture that --boot-chart has made:\n%.3000s",
			err, again, picture)
	}
	cmd = krunhost(t, "x")
	cmd.Args = []string{cmd.Args[0], "boot-chart", "-text"}
	cmd.Stdin = bytes.NewReader(report.Bytes())
	text, err := cmd.Output()
	if err != nil {
		t.Error(err)
	}
	for _, want := range append(wanted, "the workload has started\n") {
		if !strings.Contains(string(text), want) {
			t.Errorf("text lacks %q:\n%s", want, text)
		}
	}
}

// TestBootChartErrors checks the lines that tell what is wrong with a chart.
func TestBootChartErrors(t *testing.T) {
	for _, tt := range []struct {
		args   []string
		code   int
		stderr string
	}{
		{[]string{"--boot-chart", "/nonexistent/f"}, exitHost,
			"krunhost: --boot-chart: open /nonexistent/f: no such file or directory\n"},
		// libkrun's own init reports nothing.
		{[]string{"--boot-chart", "-", "--", "/bin/sh", "-c", "exit 4"}, 4,
			"krunhost: --boot-chart: the guest's init has reported no stages (is it krunbox?)\n"},
	} {
		cmd := krunhost(t, tt.args...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if got := exitCode(t, cmd.Run()); got != tt.code || stderr.String() != tt.stderr {
			t.Errorf("krunhost %q = %d, %q, want %d, %q", tt.args, got, stderr.String(), tt.code, tt.stderr)
		}
	}
	for _, args := range [][]string{{"boot-chart"}, {"boot-chart", "x"}, {"boot-chart", "-x"}} {
		cmd := krunhost(t, "x")
		cmd.Args = append(cmd.Args[:1], args...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if got := exitCode(t, cmd.Run()); got != exitHost || !strings.HasPrefix(stderr.String(), "krunhost boot-chart: ") {
			t.Errorf("krunhost %q without a report = %d, %q, want %d and a message", args, got, stderr.String(), exitHost)
		}
	}
}
