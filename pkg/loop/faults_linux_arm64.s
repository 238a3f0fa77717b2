#include "textflag.h"

#define SIGSTKFLT	16

// The kernel calls it with the signal in R0, the siginfo_t in R1 and the ucontext_t in R2, and
// si_code is at offset 8. R9 is free, all other registers stay as they are for the runtime's handler.
TEXT handleFault<>(SB), NOSPLIT|NOFRAME, $0
	CMPW	$SIGSTKFLT, R0
	BEQ	sent
	MOVW	8(R1), R9
	CMPW	$0, R9
	BGT	fault
sent:
	MOVW	ZR, 8(R1)	// SI_USER
fault:
	MOVD	·runtimeHandler(SB), R9
	JMP	(R9)

DATA ·faultHandler(SB)/8, $handleFault<>(SB)
GLOBL ·faultHandler(SB), NOPTR|RODATA, $8
