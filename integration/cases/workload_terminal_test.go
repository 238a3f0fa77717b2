package cases

import "testing"

// TestTerminalSize checks that init sets the size of a console that has 0 rows and columns because
// the host did not set it. Many programs do not work with that size.
func TestTerminalSize(t *testing.T) {
	for _, tt := range []struct {
		name, config string
		env          []string
		want         string // rows and columns
	}{
		{name: "nothing known", want: "24 80\n"},
		{name: "variables", env: []string{"COLUMNS=132", "LINES=50"}, want: "50 132\n"},
		{name: "variables of the configuration", config: `{"env": ["COLUMNS=133", "LINES=51"]}`, want: "51 133\n"},
		{name: "a variable that is none", env: []string{"COLUMNS=wide", "LINES=50"}, want: "50 80\n"},
		{name: "consoleSize", config: `{"process": {"terminal": true, "consoleSize": {"height": 43, "width": 101}}}`, want: "43 101\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			// stty would use these variables in place of the size of the terminal.
			cfg := script(t, "amd64", "unset COLUMNS LINES; exec stty size")
			cfg.Env = tt.env
			if tt.config != "" {
				cfg.GuestConfig = []byte(tt.config)
			}
			wantConsole(t, run(t, cfg, 0), tt.want)
		})
	}
}

// TestBackgroundRead checks that a background job that reads from the terminal is stopped, and does
// not consume the input of the shell.
func TestBackgroundRead(t *testing.T) {
	t.Parallel()
	cfg := script(t, "amd64", `
set -m
cat &
tries=0
until grep -q '^State:.T' /proc/$!/status; do
	tries=$((tries + 1))
	[ $tries -lt 100 ] || exit 4
	sleep 0.1
done
exit 3
`)
	run(t, cfg, 3)
}
