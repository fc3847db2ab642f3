typedef int nothing_here_yet;
