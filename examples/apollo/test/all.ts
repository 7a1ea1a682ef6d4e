import "./refreshLink.test";
import "./session.test";
import "./environment.test";
