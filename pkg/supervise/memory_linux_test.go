package supervise

import "testing"

func TestParseKill(t *testing.T) {
	for _, c := range []struct {
		text string
		pid  int
		name string
		ok   bool
	}{
		{"Out of memory: Killed process 429 (tail) total-vm:65752kB, anon-rss:63616kB, UID:0", 429, "tail", true},
		{"Memory cgroup out of memory: Killed process 7 (a) (b) total-vm:1kB", 7, "a) (b", true},
		{"oom-kill:constraint=CONSTRAINT_NONE,task=tail,pid=429,uid=0", 0, "", false},
		{"Killed process 7", 0, "", false},
		{"Killed process seven (a)", 0, "", false},
		{"", 0, "", false},
	} {
		if pid, name, ok := parseKill(c.text); pid != c.pid || name != c.name || ok != c.ok {
			t.Errorf("parseKill(%q) = %d, %q, %v, want %d, %q, %v", c.text, pid, name, ok, c.pid, c.name, c.ok)
		}
	}
}
