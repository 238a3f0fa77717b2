package main

import (
	"bytes"
	"os"
	"testing"
	"time"
)

func TestRun(t *testing.T) {
	t.Chdir(t.TempDir())
	now := time.Date(2026, 3, 5, 13, 4, 9, 7000000, time.FixedZone("CET", 3600))
	if err := os.WriteFile("f", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes("f", now, time.Unix(86400, 0)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args            []string
		output, message string
	}{
		{nil, "Thu Mar  5 13:04:09 CET 2026\n", ""},
		{[]string{"-u"}, "Thu Mar  5 12:04:09 UTC 2026\n", ""},
		{[]string{"+%s"}, "1772712249\n", ""},
		{[]string{"+%s.%N %% %j %u %w %V%n%y%t%p"}, "1772712249.007000000 % 064 4 4 10\n26\tPM\n", ""},
		{[]string{"+%Y-%m-%d %H:%M:%S"}, "2026-03-05 13:04:09\n", ""},
		{[]string{"+%F %T %a %A %b %B %z %:z"}, "2026-03-05 13:04:09 Thu Thursday Mar March +0100 +01:00\n", ""},
		{[]string{"-R"}, "Thu, 05 Mar 2026 13:04:09 +0100\n", ""},
		{[]string{"-u", "-Iseconds"}, "2026-03-05T12:04:09+00:00\n", ""},
		{[]string{"-I"}, "2026-03-05\n", ""},
		{[]string{"-u", "-d", "@0"}, "Thu Jan  1 00:00:00 UTC 1970\n", ""},
		{[]string{"-d", "2020-01-02 03:04", "+%s"}, "1577930640\n", ""},
		{[]string{"-d", "2020-01-02T03:04:05Z", "+%T"}, "04:04:05\n", ""},
		{[]string{"-d", "15:30", "+%F %T"}, "2026-03-05 15:30:00\n", ""},
		{[]string{"-r", "f", "+%s"}, "86400\n", ""},
		{[]string{"-r", "none"}, "", "date: stat none: no such file or directory\n"},
		{[]string{"-d", "tomorrow"}, "", "date: time \"tomorrow\": want @SECONDS, 2006-01-02, 15:04:05, or both, or RFC 3339\n"},
		{[]string{"-d"}, "", "date: option -d needs a value\n"},
		{[]string{"+%Q"}, "", "date: unknown conversion %Q\n"},
		{[]string{"+%"}, "", "date: the format ends with %\n"},
		{[]string{"0102"}, "", "date: 0102: want -u, -d TIME, -r FILE, -s TIME, -R, -I or +FORMAT\n"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(tt.args, now, &stdout, &stderr)
		if stdout.String() != tt.output || stderr.String() != tt.message || (code == 0) != (tt.message == "") {
			t.Errorf("date %q = %q, %q, %d, want %q, %q", tt.args,
				stdout.String(), stderr.String(), code, tt.output, tt.message)
		}
	}
}
