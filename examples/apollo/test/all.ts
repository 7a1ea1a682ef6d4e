import "./refreshLink.test";
import "./session.test";
