package guest

// Argv returns the workload's argument vector. It is the host's program, if any, with init's own
// arguments; else the configured vector; else init's arguments, nil if there are none.
func Argv(program string, configured, args []string) []string {
	switch {
	case program != "":
		return append([]string{program}, args...)
	case len(configured) > 0:
		return configured
	case len(args) > 0:
		return args
	default:
		return nil
	}
}
