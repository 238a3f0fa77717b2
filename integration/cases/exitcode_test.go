package cases

import "testing"

// TestExitCode checks that the host receives the exit code of the workload, or 128 plus the number
// of the signal that killed it.
func TestExitCode(t *testing.T) {
	for _, tt := range []struct {
		end  string // last command of the workload
		want int
		arch string
	}{
		{"exit 0", 0, "amd64"},
		{"exit 1", 1, "amd64"},
		{"exit 7", 7, "amd64"},
		{"exit 7", 7, "arm64"},
		{"exit 125", 125, "amd64"},
		{"exit 126", 126, "amd64"},
		{"exit 127", 127, "amd64"},
		{"exit 255", 255, "amd64"},
		{"kill -HUP $$", 128 + 1, "amd64"},
		{"kill -KILL $$", 128 + 9, "amd64"},
		{"kill -KILL $$", 128 + 9, "arm64"},
		{"kill -SEGV $$", 128 + 11, "amd64"},
		{"kill -TERM $$", 128 + 15, "amd64"},
	} {
		t.Run(tt.end+" "+tt.arch, func(t *testing.T) {
			t.Parallel()
			wantConsole(t, run(t, script(t, tt.arch, tt.end), tt.want), "")
		})
	}
}
