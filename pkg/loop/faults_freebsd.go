package loop

func acceptQueued() {}
